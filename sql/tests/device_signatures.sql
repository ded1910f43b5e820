-- A person vouches for their own device with another of theirs; the sidecar refuses what does not hold; nobody else writes.
begin;
\ir fixtures/people.sql
select no_plan();

-- Each of clio, theo and bram has a second device, which waits; clio's is vouched for.
insert into public.devices (id, user_id, enc_pub, sig_pub)
select md5('second ' || n)::uuid, tests.id(n), tests.key('enc second ' || n), tests.key('sig second ' || n) from unnest(array['clio', 'theo', 'bram']) as n;
create function tests.second(name text) returns uuid language sql immutable as $$ select md5('second ' || name)::uuid $$;
create function tests.vouch_command(device uuid, by_device uuid, id uuid default gen_random_uuid()) returns text language sql as $$
  select format(
    'insert into public.device_signatures (id, device_id, by_device_id, signature) values (%L, %L, %L, %L)', id, device, by_device, tests.bytes('cross', 86)
  )
$$;
select tests.act('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'), md5('clio vouches')::uuid));

select * from tests.commands(
  $$ select from public.device_signatures $$,
  $$ insert into public.device_signatures (device_id, by_device_id, signature) values (tests.second('clio'), tests.device('clio'), tests.bytes('c', 86)) $$,
  $$ update public.device_signatures set refused_at = now(), refusal = 'signature' $$,
  $$ delete from public.device_signatures $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', 'VG011', '42501', '42501'],
    array['clio', '1', '1', '42501', '42501'],
    array['theo at aal1', '0', 'VG011', '42501', '42501'],
    array['theo', '1', 'VG011', '42501', '42501'],
    array['sunny', '1', 'VG011', '42501', '42501'],
    array['ada', '1', 'VG011', '42501', '42501'],
    array['bram', '0', 'VG011', '42501', '42501'],
    array['vigil', '1', '42501', '42501', '42501'],
    array['service_role', '1', '42501', '42501', '42501'],
    array['postgres', '1', '42501', '1', '1']
  ]
);

-- Which devices.
select is(tests.attempt(who, tests.vouch_command(device, by_device)), code, what)
from (values
  ('clio', tests.second('theo'), tests.device('clio'), 'VG011', 'for somebody else''s device'),
  ('clio', tests.second('clio'), tests.device('theo'), 'VG011', 'with somebody else''s device'),
  ('clio', tests.second('clio'), md5('analysis')::uuid, 'VG011', 'with the sidecar''s'),
  ('clio', md5('analysis')::uuid, tests.device('clio'), 'VG011', 'for the sidecar''s'),
  ('clio', tests.second('clio'), tests.second('clio'), 'VG011', 'a device that waits, for itself'),
  ('clio', tests.device('clio'), tests.device('clio'), 'VG011', 'for one that is admitted'),
  ('clio', gen_random_uuid(), tests.device('clio'), 'VG011', 'for none'),
  ('clio', null::uuid, tests.device('clio'), 'VG011', 'for null'),
  ('theo', tests.second('theo'), tests.device('theo'), '1', 'one''s own, with one''s own')
) as c (who, device, by_device, code, what);
select is(
  tests.attempt('clio', format('insert into public.device_signatures (device_id, by_device_id, user_id, signature) values (%L, %L, %L, %L)',
    tests.second('clio'), tests.device('clio'), tests.id('theo'), tests.bytes('c', 86))),
  '1', 'the person is set, whatever is claimed'
);
select is(
  tests.attempt('clio', format('insert into public.device_signatures (device_id, by_device_id, signature) values (%L, %L, %L)',
    tests.second('clio'), tests.device('clio'), 'short')),
  '23514', 'a signature of another length'
);
savepoint before_revocation;
update public.devices set revoked_at = now() where id = tests.second('clio');
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))), 'VG011', 'for a revoked device');
rollback to before_revocation;
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))), 'VG011', 'with a revoked device');
rollback to before_revocation;
delete from auth.sessions where id = tests.login('clio');
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))), '42501', 'by a login that has ended');
rollback to before_revocation;

-- What the sidecar has to verify, and its two answers.
select results_eq(
  'select * from private.devices_to_admit(10)',
  format(
    $$values (%L::uuid, %L::uuid, %L::uuid, 'participant', %L, %L, %L::uuid, %L, %L)$$,
    md5('clio vouches')::uuid, tests.second('clio'), tests.id('clio'), tests.key('enc second clio'), tests.key('sig second clio'), tests.device('clio'),
    tests.key('sig clio'), tests.bytes('cross', 86)
  ),
  'a signature waits, with both keys'
);
select is_empty('select * from private.devices_to_admit(0)', 'no more than was asked for');
select is(tests.attempt('vigil', 'select * from private.devices_to_admit(10)'), '1', 'the sidecar asks');
select is(tests.attempt(who, command), '42501', format('%s does not: %s', who, command))
from unnest(array['clio', 'service_role', 'anon']) as who, unnest(array[
  'select * from private.devices_to_admit(10)', 'select private.admit_device(tests.second(''clio''), tests.device(''clio''))',
  'select private.refuse_device(md5(''clio vouches'')::uuid, ''signature'')'
]) as command;

savepoint before_refusal;
select tests.act('vigil', $$select private.refuse_device(md5('clio vouches')::uuid, 'signature')$$);
select results_eq(
  'select refused_at, refusal from public.device_signatures', $$values (now(), 'signature')$$, 'a refused signature says so'
);
select is_empty('select * from private.devices_to_admit(10)', 'and waits no more');
select is(tests.read('vigil', $$select private.admit_device(tests.second('clio'), tests.device('clio'))::text$$), 'false', 'and admits nothing');
select tests.act('vigil', $$select private.refuse_device(md5('clio vouches')::uuid, 'format')$$);
select is(refusal, 'signature', 'refused once') from public.device_signatures;
select is(tests.attempt('postgres', 'update public.device_signatures set refused_at = null, refusal = null'), 'VG015', 'for good');
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))), '1', 'another may be given');
rollback to before_refusal;
select is(tests.attempt('postgres', 'update public.device_signatures set signature = tests.bytes(''z'', 86)'), 'VG015', 'a signature stands as it was given');
select is(tests.attempt('vigil', $$select private.refuse_device(md5('clio vouches')::uuid, 'because')$$), '23514', 'a refusal is one of three');

-- Twenty wait; what was refused makes room: garbage keeps the true signature out no longer than the sidecar takes.
select tests.act('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))) from generate_series(2, 20);
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))), '23514', 'the 21st of one device is refused');
select is(tests.attempt('theo', tests.vouch_command(tests.second('theo'), tests.device('theo'))), '1', 'which is nothing to others');
savepoint full_house;
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('third clio')::uuid, tests.id('clio'), tests.key('t'), tests.key('t'));
select tests.admit(md5('third clio')::uuid);
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), md5('third clio')::uuid)), '23514', 'whoever gives it');
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), md5('third clio')::uuid)), '1', 'until the device that gave them is revoked');
rollback to full_house;
select tests.act('vigil', $$select private.refuse_device(md5('clio vouches')::uuid, 'signature')$$);
select is(tests.attempt('clio', tests.vouch_command(tests.second('clio'), tests.device('clio'))), '1', 'until one is refused');

-- The audit log knows of each, and of the refusal.
select results_eq(
  $$select action, details ->> 'refusal', count(*) from public.audit_log where subject_table = 'device_signatures' group by 1, 2 order by 1$$,
  $$values ('insert', null, 20::bigint), ('update', 'signature', 1)$$, 'what is given and refused is in the audit log'
);
select is_empty(
  $$select from public.audit_log where subject_table in ('devices', 'device_signatures') and (details::text ~ 'pub|label' or details::text ~ tests.bytes('cross', 86))$$,
  'without keys, signatures or names'
);

select * from finish();
rollback;
