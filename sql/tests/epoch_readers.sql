-- Who else holds an epoch's key: read by everybody in the session, written by functions only. A person shares their own history between their
-- own devices, and nothing else. (What is given for an alert: crisis_access.sql.)
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.min_epochs() returns text language sql stable as $$
  select string_agg(s.min_epoch::text, ' ' order by array_position(array[tests.session('strict'), tests.session('assisted'), tests.session('theirs')], s.id))
  from public.sessions s
$$;
create function tests.share(session uuid, epoch int default 1) returns jsonb language sql immutable as $$
  select jsonb_build_object('session_id', session, 'epoch', epoch, 'wrap', tests.bytes('shared' || epoch, 151), 'signature', tests.bytes('share', 86))
$$;
create function tests.share_command(device uuid, by_device uuid, variadic shares jsonb[]) returns text language sql immutable as $$
  select format('select public.share_epochs(%L, %L, %L)', device, by_device, array_to_json(shares))
$$;
-- What it gives, and no more than is left of it.
create function tests.shares(who text, command text) returns text language plpgsql as $$
declare
  answer text;
begin
  perform tests.become(who);
  execute command into answer;
  perform tests.become_tester();
  return answer;
end
$$;

insert into public.devices (id, user_id, enc_pub, sig_pub)
select md5('second ' || n)::uuid, tests.id(n), tests.key('enc second ' || n), tests.key('sig second ' || n) from unnest(array['clio', 'theo']) as n;
select tests.admit(md5('second ' || n)::uuid) from unnest(array['clio', 'theo']) as n;
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('waiting')::uuid, tests.id('clio'), tests.key('w'), tests.key('w'));
insert into public.devices (id, user_id, kind, enc_pub, sig_pub) values (md5('recovery')::uuid, tests.id('clio'), 'recovery', tests.key('r'), tests.key('r'));
select tests.admit(md5('recovery')::uuid);

-- Refused: whose devices, in what state.
select is(tests.attempt(who, tests.share_command(device, by_device, tests.share(tests.session('strict')))), code, what)
from (values
  ('anon', md5('second clio')::uuid, tests.device('clio'), '42501', 'nobody without a login'),
  ('vigil', md5('second clio')::uuid, tests.device('clio'), '42501', 'not the sidecar'),
  ('service_role', md5('second clio')::uuid, tests.device('clio'), '42501', 'not the service role'),
  ('theo', md5('second clio')::uuid, tests.device('clio'), 'VG011', 'not somebody else''s'),
  ('clio', md5('second theo')::uuid, tests.device('clio'), 'VG011', 'not to somebody else'),
  ('clio', md5('second clio')::uuid, tests.device('theo'), 'VG011', 'not from somebody else'),
  ('clio', md5('analysis')::uuid, tests.device('clio'), 'VG011', 'not to the sidecar'),
  ('clio', md5('second clio')::uuid, md5('analysis')::uuid, 'VG011', 'not from the sidecar'),
  ('clio', md5('waiting')::uuid, tests.device('clio'), 'VG025', 'not to a device that waits: a stolen token gets no history'),
  ('clio', md5('second clio')::uuid, md5('waiting')::uuid, 'VG025', 'not from one'),
  ('clio', tests.device('clio'), tests.device('clio'), '23514', 'not to itself')
) as c (who, device, by_device, code, what);
savepoint before_revocation;
update public.devices set revoked_at = now() where id = md5('second clio')::uuid;
select is(tests.attempt('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict')))), 'VG011', 'not to a revoked device');
rollback to before_revocation;
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.attempt('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict')))), 'VG011', 'not from a revoked device');
rollback to before_revocation;
select is(tests.attempt('clio', format('select public.share_epochs(%L, %L, %L)', md5('second clio')::uuid, tests.device('clio'), '{}')), '23514', 'not what is no list');
select is(
  tests.attempt('clio', format('select public.share_epochs(%L, %L, %L)', md5('second clio')::uuid, tests.device('clio'), (select jsonb_agg(tests.share(tests.session('strict'))) from generate_series(1, 501)))),
  '23514', 'not more than 500 at once'
);
select is(tests.attempt('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict')) || '{"wrap": "short"}')), '23514', 'not a wrap of another length');
select is(tests.attempt('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict')) || '{"signature": "short"}')), '23514', 'not a signature of another length');

-- Passed over: what the first does not hold, of sessions that are not theirs.
select is(
  tests.shares('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('theirs')), tests.share(tests.session('strict'), 9), tests.share(gen_random_uuid()))),
  '0', 'another session, an epoch that is not there, none'
);
select is_empty('select from public.epoch_readers', 'give nothing');
select is(tests.min_epochs(), '2 2 1', 'the devices'' admission retired their sessions'' epochs');
select tests.act('theo', tests.epoch_command('theo', tests.session('strict')));
select is(tests.shares('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict'), 2))), '0', 'nor what the other holds already');

-- Shared.
select is(
  tests.shares('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict')), tests.share(tests.session('strict')), tests.share(tests.session('assisted')))),
  '2', 'a history is shared, each epoch once'
);
select results_eq(
  $$select session_id, epoch, user_id, organization_id, role, reason, alert_id, by_device_id, ended_at from public.epoch_readers where device_id = md5('second clio')::uuid order by session_id = tests.session('strict') desc$$,
  format($$values (%1$L::uuid, 1, %2$L::uuid, %3$L::uuid, 1::smallint, 'history', null::uuid, %4$L::uuid, null::timestamptz), (%5$L, 1, %2$L, %3$L, 1::smallint, 'history', null, %4$L, null)$$,
    tests.session('strict'), tests.id('clio'), tests.organization('alder'), tests.device('clio'), tests.session('assisted')),
  'and says who has it, and from whom'
);
select is(tests.shares('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share(tests.session('strict')))), '0', 'once');
select is(tests.read('clio', format('select wrap from public.epoch_wraps where epoch = 1 and session_id = %L and device_id = %L', tests.session('strict'), md5('second clio')::uuid)), tests.bytes('shared1', 151), 'the wrap is there for its person');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('strict'), 5, 1)), 'VG010', 'an epoch that was retired stays so');
select is(tests.shares('theo', tests.share_command(md5('second theo')::uuid, tests.device('theo'), tests.share(tests.session('strict')))), '1', 'a therapist''s too');
select is(role, 2::smallint, 'as a therapist') from public.epoch_readers where device_id = md5('second theo')::uuid;
select is(tests.shares('clio', tests.share_command(md5('recovery')::uuid, tests.device('clio'), tests.share(tests.session('strict')))), '1', 'what was before the recovery key is given to it');
select is(role, 4::smallint, 'as a recovery key') from public.epoch_readers where device_id = md5('recovery')::uuid;
savepoint recovered;
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('third clio')::uuid, tests.id('clio'), tests.key('t'), tests.key('t'));
select tests.admit(md5('third clio')::uuid);
select is(
  tests.shares('clio', tests.share_command(md5('third clio')::uuid, md5('recovery')::uuid, tests.share(tests.session('strict')), tests.share(tests.session('strict'), 2))), '2', 'which gives it to a new device'
);
select is(array_agg(distinct role), '{1}'::smallint[], 'as a client''s') from public.epoch_readers where device_id = md5('third clio')::uuid;
rollback to recovered;
-- What does not hold is replaced, by the same device or another; not what is the roster's, nor by the same.
create function tests.share_again(session uuid, epoch int, what text) returns jsonb language sql immutable as $$
  select tests.share(session, epoch) || jsonb_build_object('wrap', tests.bytes(what, 151), 'signature', tests.bytes(what, 86))
$$;
select is(
  tests.shares('clio', tests.share_command(md5('second clio')::uuid, md5('recovery')::uuid, tests.share_again(tests.session('strict'), 1, 'mended'), tests.share_again(tests.session('strict'), 2, 'mended'))),
  '1', 'a share that is signed otherwise replaces the other, but no wrap of a roster'
);
select results_eq(
  format($$select r.signature, r.by_device_id, r.role, r.reason, w.wrap, w.role from public.epoch_readers r join public.epoch_wraps w using (session_id, epoch, device_id)
    where r.session_id = %L and r.device_id = %L$$, tests.session('strict'), md5('second clio')::uuid),
  format($$values (%L, %L::uuid, 1::smallint, 'history', %L, 1::smallint)$$, tests.bytes('mended', 86), md5('recovery')::uuid, tests.bytes('mended', 151)),
  'the wrap with its signature, and who gave it'
);
select is(r.wrap_hash, private.to_base64url(sha256(private.from_base64url(w.wrap))), 'and its hash, by which everyone can verify it: ' || w.wrap)
from public.epoch_readers r join public.epoch_wraps w using (session_id, epoch, device_id) where r.device_id = md5('second clio')::uuid;
select is(
  tests.shares('clio', tests.share_command(md5('second clio')::uuid, tests.device('clio'), tests.share_again(tests.session('strict'), 1, 'mended'))), '0', 'the same is not written again'
);
select is(
  tests.shares('clio', tests.share_command(md5('recovery')::uuid, tests.device('clio'), tests.share_again(tests.session('strict'), 1, 'mended'))), '1', 'a recovery key''s is mended too'
);
select is(
  (select wrap from public.epoch_wraps where session_id = tests.session('strict') and epoch = 1 and device_id = md5('recovery')::uuid), tests.bytes('mended', 151), 'with its wrap'
);
select results_eq(
  $$select details ->> 'device_id', details ->> 'by_device_id' from public.audit_log where subject_table = 'epoch_readers' and action = 'update' order by seq$$,
  format($$values (%L, %L), (%L, %L)$$, md5('second clio')::uuid, md5('recovery')::uuid, md5('recovery')::uuid, tests.device('clio')), 'all of it is in the audit log'
);
rollback to recovered;
-- What was held on call, until it ended, may be shared later.
insert into public.epoch_readers (session_id, epoch, device_id, user_id, organization_id, role, reason, alert_id, by_device_id, signature)
values (tests.session('assisted'), 1, md5('second theo')::uuid, tests.id('theo'), tests.organization('alder'), 3, 'crisis_access', md5('alert')::uuid, md5('analysis')::uuid, tests.bytes('s', 86));
select is(tests.attempt('postgres', 'update public.epoch_readers set signature = tests.bytes(''z'', 86) where role = 3'), 'VG015', 'what was given on call stands');
update public.epoch_readers set ended_at = now() where role = 3;
select is(tests.shares('theo', tests.share_command(md5('second theo')::uuid, tests.device('theo'), tests.share(tests.session('assisted')))), '1', 'an epoch that was held on call is shared once that ended');
select results_eq(
  format($$select role, reason, alert_id, ended_at from public.epoch_readers where session_id = %L and device_id = %L$$, tests.session('assisted'), md5('second theo')::uuid),
  $$values (2::smallint, 'history', null::uuid, null::timestamptz)$$, 'as one''s own'
);
rollback to recovered;
update public.session_participants set ended_at = now() where session_id = tests.session('assisted') and user_id = tests.id('theo');
select is(tests.shares('theo', tests.share_command(md5('second theo')::uuid, tests.device('theo'), tests.share(tests.session('assisted')))), '0', 'nothing of a session that somebody has left');
rollback to recovered;

-- Who reads and writes.
select * from tests.commands(
  $$ select from public.epoch_readers $$,
  $$ insert into public.epoch_readers (session_id, epoch, device_id, user_id, organization_id, role, reason, by_device_id, signature)
     values (tests.session('assisted'), 1, md5('second theo')::uuid, tests.id('theo'), tests.organization('alder'), 2, 'history', tests.device('theo'), tests.bytes('s', 86)) $$,
  $$ update public.epoch_readers set ended_at = now() $$,
  $$ delete from public.epoch_readers $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '4', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '4', '42501', '42501', '42501'],
    array['sunny', '4', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['bram', '0', '42501', '42501', '42501'],
    array['vigil', '4', '42501', '42501', '42501'],
    array['service_role', '4', '42501', '42501', '42501'],
    array['postgres', '4', '1', '4', '4']
  ]
);
select is(tests.attempt('postgres', 'update public.epoch_readers set ' || change), 'VG015', 'a row stands: ' || change)
from unnest(array['role = 4', 'user_id = tests.id(''theo'')', 'reason = ''crisis_access''', 'signature = tests.bytes(''z'', 86), role = 4', 'by_device_id = device_id', 'created_at = ''2020-01-01''']) as change;

-- One entry for each session and device of a call, in its organisation's chain.
select results_eq(
  $$select details ->> 'device_id', details ->> 'epochs', details ->> 'reason' from public.audit_log where subject_table = 'epoch_readers' order by seq limit 2$$,
  format($$values (%1$L, '1', 'history'), (%1$L, '1', 'history')$$, md5('second clio')::uuid), 'a shared history is in the audit log'
);
select is_empty($$select from public.audit_log where subject_table = 'epoch_readers' and (details ? 'wrap' or details ? 'signature')$$, 'without what was shared');

-- Gone with the session.
delete from public.messages where session_id = tests.session('strict');
delete from public.sessions where id = tests.session('strict');
select is_empty(format('select from public.epoch_readers where session_id = %L', tests.session('strict')), 'an erased session leaves no reader');

select * from finish();
rollback;
