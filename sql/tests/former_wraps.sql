-- What a shared history was before it was replaced: kept, so that a token that was stolen loses nobody anything; restored by its own person.
begin;
\ir fixtures/people.sql
select no_plan();

insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('second')::uuid, tests.id('clio'), tests.key('enc second'), tests.key('sig second'));
select tests.admit(md5('second')::uuid);
create function tests.share(what text, session uuid default tests.session('strict')) returns text language sql as $$
  select format('select public.share_epochs(%L, %L, %L)', md5('second')::uuid, tests.device('clio'), jsonb_build_array(jsonb_build_object(
    'session_id', session, 'epoch', 1, 'wrap', tests.bytes('wrap ' || what, 151), 'signature', tests.bytes('signature ' || what, 86))))
$$;
create function tests.restore(what text, device uuid default md5('second')::uuid) returns text language sql as $$
  select format('select public.restore_epochs(%L, %L)', device,
    jsonb_build_array(jsonb_build_object('session_id', tests.session('strict'), 'epoch', 1, 'signature', tests.bytes('signature ' || what, 86))))
$$;
create function tests.stands(what text) returns text language sql as $$
  select is(
    array[w.wrap, r.signature, r.wrap_hash],
    array[tests.bytes('wrap ' || what, 151), tests.bytes('signature ' || what, 86), private.to_base64url(sha256(private.from_base64url(tests.bytes('wrap ' || what, 151))))],
    'what stands is the ' || what
  )
  from public.epoch_wraps w join public.epoch_readers r using (session_id, epoch, device_id)
  where device_id = md5('second')::uuid and session_id = tests.session('strict')
$$;
create function tests.former() returns text language sql as $$
  select coalesce(string_agg(format('%s by %s', case f.wrap when tests.bytes('wrap true', 151) then 'true' when tests.bytes('wrap false', 151) then 'false' else '?' end,
    (select p.name from tests.people p where p.device = f.by_device_id)), ', '), '') from public.former_wraps f
$$;

select is(tests.read('clio', tests.share('true')), '1', 'a history is shared');
select is(tests.former(), '', 'in the place of nothing');
update public.epoch_readers set signature = tests.bytes('signature true', 85) || 'x', created_at = '2026-01-01';
update public.epoch_readers set signature = tests.bytes('signature true', 86);
select is(tests.read('clio', tests.share('false')), '1', 'and replaced: perhaps by a stolen token');
select tests.stands('false');
select is(tests.former(), 'true by clio', 'what was there is kept, and who gave it');
select is(tests.attempt(who, tests.restore('true')), code, who || ' restores')
from (values ('anon', '42501'), ('theo', 'VG011'), ('vigil', '42501'), ('service_role', '42501')) as a (who, code);
select is(tests.read('clio', tests.restore('other')), '0', 'nothing that was not');
select is(tests.attempt('clio', tests.restore('true', tests.device('theo'))), 'VG011', 'not on somebody else''s device');
select is(tests.read('clio', tests.restore('true', tests.device('clio'))), '0', 'nor on another of one''s own');
select is(tests.attempt('clio', format('select public.restore_epochs(%L, %L)', md5('second')::uuid, '{}')), '23514', 'a list is asked for');
select is(tests.read('clio', tests.restore('true')), '1', 'its own person restores it');
select tests.stands('true');
select is(created_at, '2026-01-01', 'as it was given then') from public.epoch_readers where device_id = md5('second')::uuid;
select is(tests.former(), 'false by clio', 'and the other is kept in turn');
select results_eq(
  $$select action, details ->> 'by_device_id' from public.audit_log where subject_table = 'epoch_readers' order by seq$$,
  $$select action, tests.device('clio')::text from (values ('insert'), ('update'), ('update'), ('update'), ('update')) as a (action)$$, 'all of it is in the audit log'
);

-- Who reads and writes.
select * from tests.commands(
  $$ select from public.former_wraps $$,
  $$ insert into public.former_wraps (session_id, epoch, device_id, organization_id, by_device_id, signature, wrap, given_at)
     values (tests.session('strict'), 1, md5('second')::uuid, tests.organization('alder'), tests.device('clio'), tests.bytes('s', 86), 'w', now()) $$,
  $$ update public.former_wraps set wrap = 'w' $$,
  $$ delete from public.former_wraps $$,
  array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '1', '42501', '42501', '42501'],
    array['theo', '0', '42501', '42501', '42501'],
    array['sunny', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['bram', '0', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '42501', '42501', '42501', '42501'],
    array['postgres', '1', '1', '1', '1']
  ]
);

-- However often it is replaced, nothing goes; beyond twenty nothing is replaced.
do $$
begin
  for i in 1 .. 30 loop
    perform tests.act('clio', tests.share('false ' || i));
  end loop;
end
$$;
select is(count(*), 20::bigint, 'twenty are kept') from public.former_wraps;
select is(tests.read('clio', tests.share('later')), '0', 'and then nothing is replaced');
select is(tests.read('clio', tests.restore('true')), '1', 'the true one is among them');
select tests.stands('true');
savepoint whole;
update public.devices set revoked_at = now() where id = md5('second')::uuid;
select is(tests.attempt('clio', tests.restore('false')), 'VG011', 'a revoked device restores nothing');
rollback to whole;

-- Gone with the wrap: what is erased is not kept.
delete from public.epoch_wraps where device_id = md5('second')::uuid;
select is_empty('select from public.former_wraps', 'an erased wrap leaves no former one');
select is_empty($$select from pg_publication_tables where tablename = 'former_wraps'$$, 'nothing of it is on the stream');

select * from finish();
rollback;
