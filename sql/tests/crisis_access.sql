-- Whom an alert paged is given the message's key, under consent, for as long as the alert is unresolved; and nobody else, ever.
begin;
\ir fixtures/people.sql
select no_plan();

-- Clio consents to crisis_access too; then her message has an alert, which pages theo, who has the key, and olive, who is on call.
create function tests.consent_command(who text, session uuid, scope text[], id uuid default gen_random_uuid()) returns text language sql as $$
  select format('insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (%L, %L, %L, %L, %L, %L)',
    id, session, tests.device(who), scope, tests.bytes('text', 43), tests.bytes('consent', 86))
$$;
select tests.act('clio', tests.consent_command('clio', tests.session('assisted'), '{crisis_access}', md5('crisis')::uuid));
\ir fixtures/alert.sql
create function tests.min_epoch() returns int language sql stable as $$ select min_epoch from public.sessions where id = tests.session('assisted') $$;
create function tests.due() returns text language sql stable as $$
  select coalesce(string_agg(format('%s/%s', (select p.name from tests.people p where p.device = d.device_id), d.epoch), ' ' order by d.epoch, d.device_id), '')
  from private.crisis_grants_due(100) d
$$;
create function tests.grant_to(device uuid, epoch int default 1, other jsonb default '{}') returns jsonb language sql stable as $$
  select jsonb_build_object(
    'session_id', tests.session('assisted'), 'epoch', epoch, 'device_id', device, 'wrap', tests.bytes('granted' || epoch, 151),
    'signature', tests.bytes('grant', 86), 'by_device_id', md5('analysis')::uuid
  ) || other
$$;
create function tests.grants(alert uuid, variadic grants jsonb[]) returns text language plpgsql as $$
declare
  answer text;
begin
  perform tests.become('vigil');
  answer := private.grant_crisis_access(alert, array_to_json(grants)::jsonb);
  perform tests.become_tester();
  return answer;
end
$$;
create function tests.access() returns text language sql stable as $$
  select coalesce(string_agg(format('%s/%s%s', (select p.name from tests.people p where p.device = r.device_id), r.epoch, case when r.ended_at is not null then ' ended' end), ', ' order by r.epoch, r.device_id), '')
  from public.epoch_readers r where r.reason = 'crisis_access'
$$;
create function tests.wraps_of(name text) returns bigint language sql stable as $$ select count(*) from public.epoch_wraps where device_id = tests.device(name) $$;

-- What an alert says of itself.
select is(text_shared, true, 'an alert says that its text is shared') from public.alerts where id = tests.alert('assisted');
select is(text_shared, false, 'or that it is not') from public.alerts where id = tests.alert('theirs');
select is(tests.attempt('postgres', 'update public.alerts set text_shared = not text_shared'), 'VG015', 'as it was when it was raised');

-- What is due: to whom the alert reached and who has no key.
select is(tests.due(), 'olive/1', 'the clinician who does not take part, and nobody without consent');
select is(tests.attempt('vigil', 'select from private.crisis_grants_due(10)'), '1', 'the sidecar asks');
select is(tests.attempt(who, command), '42501', who || ' does not: ' || command)
from unnest(array['anon', 'olive', 'service_role']) as who,
  unnest(array['select private.crisis_grants_due(10)', 'select private.grant_crisis_access(tests.alert(''assisted''), ''[]'')', 'select private.review_crisis_access(tests.session(''assisted''))']) as command;
-- What it costs follows what is due: not the alerts of years, nor those whose keys are given and which nobody resolves.
create function tests.busy_practice() returns void language sql as $$
  set local session_replication_role = replica;
  insert into public.sessions (id, organization_id, mode, status) select md5('busy ' || i)::uuid, tests.organization('alder'), 'assisted', 'active' from generate_series(1, 400) i;
  insert into public.session_epochs (session_id, organization_id, epoch, device_id, roster, roster_hash, key_commit, signature, assisted, consent_id, suite)
    select md5('busy ' || i)::uuid, e.organization_id, n, e.device_id, e.roster, e.roster_hash, e.key_commit, e.signature, true, md5('busy ' || i)::uuid, 2
    from generate_series(1, 400) i, generate_series(1, 5) n, public.session_epochs e where e.session_id = tests.session('assisted');
  insert into public.epoch_wraps (session_id, epoch, device_id, organization_id, role, wrap)
    select md5('busy ' || i)::uuid, n, d.id, tests.organization('alder'), d.role, tests.bytes('w', 151)
    from generate_series(1, 400) i, generate_series(1, 5) n, (values (md5('analysis')::uuid, 9), (tests.device('theo'), 2), (tests.device('olive'), 3)) d (id, role);
  insert into public.session_consents (id, session_id, organization_id, user_id, device_id, scope, text_hash, signature)
    select md5('busy ' || i)::uuid, md5('busy ' || i)::uuid, tests.organization('alder'), tests.id('clio'), tests.device('clio'), '{crisis_access}', tests.bytes('t', 43), tests.bytes('s', 86) from generate_series(1, 400) i;
  insert into public.session_consents (id, session_id, organization_id, user_id, device_id, scope, text_hash, signature, withdrawn_at)
    select gen_random_uuid(), md5('busy ' || i)::uuid, tests.organization('alder'), tests.id('clio'), tests.device('clio'), '{crisis_access}', tests.bytes('t', 43), tests.bytes('s', 86), now()
    from generate_series(1, 400) i, generate_series(1, 20);
  insert into public.messages (id, session_id, organization_id, sender_id, sender_device_id, epoch, seq, body, position, assisted)
    select md5('busy ' || i || ' ' || n)::uuid, md5('busy ' || i)::uuid, tests.organization('alder'), tests.id('clio'), tests.device('clio'), 5, n, tests.body('b'), n + 1, true
    from generate_series(1, 400) i, generate_series(0, 20) n;
  insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, status, raised_at)
    select md5('busy ' || i || ' ' || n)::uuid, tests.organization('alder'), md5('busy ' || i)::uuid, md5('busy ' || i || ' ' || n)::uuid, md5('busy ' || i || ' ' || n)::uuid, 4,
      case when n = 20 and i <= 20 then 'open' else 'resolved' end, now() - interval '1 day' * (20 - n)
    from generate_series(1, 400) i, generate_series(0, 20) n;
  insert into public.alert_pages (alert_id, step, session_id, organization_id, level)
    select a.id, 1, a.session_id, a.organization_id, 4 from public.alerts a where a.session_id not in (tests.session('assisted'), tests.session('theirs'));
  insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason)
    select a.id, tests.id('olive'), a.organization_id, a.session_id, 'on_call' from public.alerts a where a.session_id not in (tests.session('assisted'), tests.session('theirs'));
  set local session_replication_role = origin;
$$;
create function tests.scanned(function regprocedure) returns text language plpgsql as $$
declare
  plan jsonb;
begin
  execute 'explain (format json) ' || (select p.prosrc from pg_catalog.pg_proc p where p.oid = function) into plan;
  return (
    select string_agg(distinct n ->> 'Relation Name', ' ')
    from jsonb_path_query(plan, 'strict $.** ? (@."Node Type" == "Seq Scan")') n
    where n ->> 'Relation Name' <> 'devices'
  );
end
$$;
savepoint quiet;
select tests.busy_practice();
analyze;
select is(tests.scanned('private.crisis_sessions()'), null, 'no table that grows is read from end to end');
set local track_functions = 'all';
select is(tests.due(), 'olive/1', 'among many alerts it is what it was');
select is(
  (select sum(f.calls) from pg_catalog.pg_stat_xact_user_functions f where f.schemaname = 'private' and f.funcname = 'covers'), 1::numeric,
  'consent is asked for where something is due, and nowhere else'
);
rollback to quiet;

savepoint world;
delete from public.alert_pages;
select is(tests.due(), '', 'not for an alert that paged nobody');
rollback to world;
update public.alert_recipients set ended_at = now() where user_id = tests.id('olive');
select is(tests.due(), '', 'not to whom it reaches no more');
rollback to world;
update public.memberships set ended_at = now() where user_id = tests.id('olive');
select is(tests.due(), '', 'not to who has left');
rollback to world;
update public.memberships set role = 'admin' where user_id = tests.id('olive');
select is(tests.due(), '', 'not to who is no clinician any more');
rollback to world;
update public.devices set revoked_at = now() where id = tests.device('olive');
select is(tests.due(), '', 'not to a revoked device');
rollback to world;
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('olive 2')::uuid, tests.id('olive'), tests.key('o2'), tests.key('o2'));
select is(tests.due(), 'olive/1', 'not to a device that waits');
select tests.admit(md5('olive 2')::uuid);
select is(count(*), 2::bigint, 'but once it is admitted') from private.crisis_grants_due(10);
select is(count(*), 1::bigint, 'no more than is asked for') from private.crisis_grants_due(1);
rollback to world;
select tests.act('clio', $$select public.withdraw_consent(md5('crisis')::uuid, tests.bytes('w', 86))$$);
select is(tests.due(), '', 'not when consent is withdrawn');
rollback to world;
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.due(), '', 'not when the device that signed it is revoked');
rollback to world;
insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id('nobody'), 'client');
insert into public.session_participants (session_id, user_id, organization_id, role) values (tests.session('assisted'), tests.id('nobody'), tests.organization('alder'), 'client');
select is(tests.due(), '', 'not where another client has not consented');
rollback to world;
select tests.act('sunny', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.due(), '', 'not when it is resolved');
rollback to world;
delete from public.epoch_wraps where device_id = md5('analysis')::uuid;
select is(tests.due(), '', 'not what the sidecar cannot open');
rollback to world;
update public.devices set revoked_at = now() where id = md5('analysis')::uuid;
select is(tests.due(), '', 'nor what a key opens that is destroyed');
select is(tests.grants(tests.alert('assisted'), tests.grant_to(tests.device('olive'))), '0', 'nor is it given by that');
rollback to world;
insert into public.assessments (id, organization_id, session_id, message_id, position, status, level, alert, source)
values (md5('late')::uuid, tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'assessed', 5, true, 'late');
insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, source, raised_at)
values (tests.alert('late'), tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), md5('late')::uuid, 5, 'late', now() + interval '1 second');
insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason) values (tests.alert('late'), tests.id('sunny'), tests.organization('alder'), tests.session('assisted'), 'supervisor');
select is((select device_id from private.crisis_grants_due(1)), tests.device('sunny'), 'the newest alert first');
rollback to world;
-- Who takes part without the epoch's key must be able to read what paged them.
insert into public.session_participants (session_id, user_id, organization_id, role) values (tests.session('assisted'), tests.id('olive'), tests.organization('alder'), 'therapist');
select is(tests.due(), 'olive/1', 'to who joined after the epoch');
select is(tests.grants(tests.alert('assisted'), tests.grant_to(tests.device('olive'))), '1', 'and it is given');
select is(tests.access(), 'olive/1', 'and stands');
rollback to world;
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('theo 2')::uuid, tests.id('theo'), tests.key('t2'), tests.key('t2'));
select tests.admit(md5('theo 2')::uuid);
select is(tests.due(), 'olive/1', 'not to another device of who holds it as one who takes part');
update public.devices set revoked_at = now() where id = tests.device('theo');
select is((select count(*) from private.crisis_grants_due(10) d where d.device_id = md5('theo 2')::uuid), 1::bigint, 'but to the new device of who lost that one');
select is(tests.grants(tests.alert('assisted'), tests.grant_to(md5('theo 2')::uuid)), '1', 'and it is given');
rollback to world;
select is(private.covers(tests.session('strict'), 'crisis_access'), false, 'no consent covers a session in which none was given');
update public.session_participants set ended_at = now() where session_id = tests.session('assisted') and role = 'client';
select is(private.covers(tests.session('assisted'), 'crisis_access'), false, 'nor one without a client');
rollback to world;

-- Refused, or passed over: every grant that is not due.
select is(tests.grants(alert, g), '0', 'not given: ' || what)
from (values
  (tests.alert('theirs'), tests.grant_to(tests.device('bella')) || jsonb_build_object('session_id', tests.session('theirs')), 'without consent'),
  (tests.alert('theirs'), tests.grant_to(tests.device('olive')), 'for another alert'),
  (gen_random_uuid(), tests.grant_to(tests.device('olive')), 'for none'),
  (tests.alert('assisted'), tests.grant_to(tests.device('sunny')), 'to whom it did not reach'),
  (tests.alert('assisted'), tests.grant_to(tests.device('bella')), 'to a stranger'),
  (tests.alert('assisted'), tests.grant_to(tests.device('theo')), 'to who has it'),
  (tests.alert('assisted'), tests.grant_to(tests.device('olive'), 2), 'of an epoch that is not there'),
  (tests.alert('assisted'), tests.grant_to(tests.device('olive'), 1, jsonb_build_object('session_id', tests.session('strict'))), 'of another session'),
  (tests.alert('assisted'), tests.grant_to(tests.device('olive'), 1, jsonb_build_object('by_device_id', tests.device('theo'))), 'by a participant'),
  (tests.alert('assisted'), tests.grant_to(tests.device('olive'), 1, jsonb_build_object('by_device_id', gen_random_uuid())), 'by an analysis device that has no key of it')
) as c (alert, g, what);
select is(tests.access(), '', 'nobody was given anything');
select is(tests.read('clio', 'select count(*)::text from public.profiles where user_id = tests.id(''olive'')'), '0', 'and whoever reads nothing is not shown');

-- Given: seen by everyone in the session, read by whom it is for.
select is(tests.grants(tests.alert('assisted'), tests.grant_to(tests.device('olive')), tests.grant_to(tests.device('olive')), tests.grant_to(tests.device('sunny'))), '1', 'what is due is given, once');
select is(tests.due(), '', 'and due no more');
select is(tests.grants(tests.alert('assisted'), tests.grant_to(tests.device('olive'))), '0', 'nor given again');
select is(tests.read(who, 'select string_agg(role || '' '' || reason, '','') from public.epoch_readers'), '3 crisis_access', who || ' sees it') from unnest(array['clio', 'theo', 'sunny', 'olive', 'vigil']) as who;
select is(tests.read(who, 'select count(*)::text from public.epoch_readers'), '0', who || ' does not') from unnest(array['nobody', 'ada', 'bram', 'theo at aal1']) as who;
select is(tests.read('clio', 'select display_name from public.profiles where user_id = tests.id(''olive'')'), 'Olive Example', 'a client sees by whom they are read');
select is(tests.read('clio', 'select count(*)::text from public.devices where user_id = tests.id(''olive'')'), '1', 'and on which devices');
select is(tests.read('brook', 'select count(*)::text from public.profiles where user_id = tests.id(''olive'')'), '0', 'others do not');
select is(tests.read('olive', 'select wrap from public.epoch_wraps'), tests.bytes('granted1', 151), 'the on-call clinician has the key');
select is(tests.read('clio', 'select count(*)::text from public.epoch_wraps where role = 3'), '0', 'and nobody else that wrap');
select is(tests.min_epoch(), 1, 'the epoch goes on: nobody has lost anything');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 5)), '1', 'and messages are sent');
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('olive 2')::uuid, tests.id('olive'), tests.key('o2'), tests.key('o2'));
select tests.admit(md5('olive 2')::uuid);
select is(
  tests.read('olive', format('select public.share_epochs(%L, %L, %L)::text', md5('olive 2')::uuid, tests.device('olive'), jsonb_build_array(tests.grant_to(null)))),
  '0', 'what is held on call is not passed on'
);
select results_eq(
  $$select actor_kind, action, details ->> 'alert_id' from public.audit_log where subject_table = 'epoch_readers'$$,
  format($$values ('operator', 'insert', %L)$$, tests.alert('assisted')), 'it is in the audit log'
);
update public.devices set revoked_at = now() where id = md5('olive 2')::uuid;
select is(tests.access(), 'olive/1', 'another device of theirs may go');

-- A next epoch, while the alert is unresolved.
select tests.act('theo', tests.epoch_command('theo', tests.session('assisted'), md5('consent assisted')::uuid));
select is(tests.due(), 'olive/2', 'the next epoch is due too');
select is(tests.grants(tests.alert('assisted'), tests.grant_to(tests.device('olive'), 2)), '1', 'and given');
select tests.act('olive', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted')));
select is(tests.access(), 'olive/1, olive/2', 'an acknowledgement ends nothing');
create function tests.ended(what text) returns setof text language plpgsql as $$
begin
  return next is(tests.access(), 'olive/1 ended, olive/2 ended', what || ' ends it');
  return next is(tests.wraps_of('olive'), 0::bigint, what || ': the keys are gone');
  return next is(tests.min_epoch(), 3, what || ': and the epochs retired');
end
$$;
savepoint given;

-- Ended, in the same transaction.
select tests.act('olive', format('select public.resolve_alert(%L, 2)', tests.alert('assisted')));
select * from tests.ended('resolving');
select is(tests.read('olive', 'select count(*)::text from public.epoch_readers'), '0', 'who has no more to do with it sees it no more');
select is(tests.read('clio', 'select count(*)::text from public.epoch_readers where ended_at = now()'), '2', 'the client sees that it ended');
select results_eq(
  $$select action, details ->> 'epochs', details ? 'ended_at' from public.audit_log where subject_table = 'epoch_readers' order by seq$$,
  $$values ('insert', '1', false), ('insert', '1', false), ('update', '2', true)$$, 'so does the audit log'
);
-- Another alert of the same epoch: given again, as another act.
insert into public.assessments (id, organization_id, session_id, message_id, position, status, level, alert, source)
values (md5('late')::uuid, tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'assessed', 5, true, 'late');
insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, source)
values (tests.alert('late'), tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), md5('late')::uuid, 5, 'late');
insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason) values (tests.alert('late'), tests.id('olive'), tests.organization('alder'), tests.session('assisted'), 'on_call');
select is(tests.due(), 'olive/1 olive/2', 'a later alert is due again');
select is(tests.grants(tests.alert('late'), tests.grant_to(tests.device('olive'), 1, jsonb_build_object('signature', tests.bytes('late', 86)))), '1', 'and given again');
select results_eq(
  'select alert_id, signature, ended_at from public.epoch_readers where epoch = 1', format('values (%L::uuid, %L, null::timestamptz)', tests.alert('late'), tests.bytes('late', 86)), 'for that alert'
);
rollback to given;
update public.devices set revoked_at = now() where id = md5('analysis')::uuid;
select private.review_crisis_access(tests.session('assisted'));
select is(tests.access(), 'olive/1, olive/2', 'what was given outlasts the key that gave it');
rollback to given;
-- Two alerts: one that is unresolved is enough.
insert into public.assessments (id, organization_id, session_id, message_id, position, status, level, alert, source)
values (md5('late')::uuid, tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'assessed', 5, true, 'late');
insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, source)
values (tests.alert('late'), tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), md5('late')::uuid, 5, 'late');
insert into public.alert_events (alert_id, organization_id, session_id, kind, version) values (tests.alert('late'), tests.organization('alder'), tests.session('assisted'), 'raised', 1);
insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason) values (tests.alert('late'), tests.id('olive'), tests.organization('alder'), tests.session('assisted'), 'on_call');
select tests.act('olive', format('select public.resolve_alert(%L, 2)', tests.alert('assisted')));
select is(tests.access(), 'olive/1, olive/2', 'another alert that is unresolved keeps it');
select tests.act('olive', format('select public.resolve_alert(%L, 1)', tests.alert('late')));
select * from tests.ended('resolving the last');
rollback to given;
select tests.act('clio', $$select public.withdraw_consent(md5('crisis')::uuid, tests.bytes('w', 86))$$);
select * from tests.ended('withdrawing consent');
rollback to given;
select tests.act('clio', tests.consent_command('clio', tests.session('assisted'), '{crisis_access}'));
select tests.act('clio', $$select public.withdraw_consent(md5('crisis')::uuid, tests.bytes('w', 86))$$);
select is(tests.access(), 'olive/1, olive/2', 'not when another consent stands');
rollback to given;
select tests.act('olive', 'update public.devices set revoked_at = now() where id = tests.device(''olive'')');
select * from tests.ended('revoking the device');
rollback to given;
select tests.act('clio', 'update public.devices set revoked_at = now() where id = tests.device(''clio'')');
select * from tests.ended('revoking the device that signed the consent');
rollback to given;
select tests.act('ada', 'update public.memberships set ended_at = now() where user_id = tests.id(''olive'')');
select * from tests.ended('the end of the membership');
select is(status, 'open', 'and the alert is open again') from public.alerts where id = tests.alert('assisted');
rollback to given;
select tests.act('ada', 'update public.memberships set ended_at = now() where user_id = tests.id(''clio'')');
select * from tests.ended('the end of the client''s membership');
rollback to given;
insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id('nobody'), 'client');
insert into public.session_participants (session_id, user_id, organization_id, role) values (tests.session('assisted'), tests.id('nobody'), tests.organization('alder'), 'client');
select * from tests.ended('a client who has not consented');
rollback to given;
insert into public.session_participants (session_id, user_id, organization_id, role) values (tests.session('assisted'), tests.id('olive'), tests.organization('alder'), 'therapist');
select is(tests.access(), 'olive/1, olive/2', 'a handover does not end it: who was on call takes part, and goes on reading');
select is(tests.wraps_of('olive'), 2::bigint, 'with the keys that they had');
select tests.act('theo', tests.epoch_command('theo', tests.session('assisted'), md5('consent assisted')::uuid));
select is(tests.due(), '', 'and of what follows as one who takes part');
select tests.act('olive', format('select public.resolve_alert(%L, 2)', tests.alert('assisted')));
select is(tests.access(), 'olive/1 ended, olive/2 ended', 'until it is resolved');
rollback to given;
delete from public.messages where id = tests.message('clio', tests.session('assisted'), 0);
select * from tests.ended('erasing the message');
rollback to given;
select tests.act('theo', format('select public.end_session(%L)', tests.session('assisted')));
select is(tests.access(), 'olive/1, olive/2', 'the session''s end does not: the alert is still to be read');
select tests.act('olive', format('select public.resolve_alert(%L, 2)', tests.alert('assisted')));
select is(tests.wraps_of('olive'), 0::bigint, 'but resolving does, there too');
rollback to given;
delete from public.messages where session_id = tests.session('assisted');
delete from public.sessions where id = tests.session('assisted');
select is(tests.access(), '', 'an erased session leaves nothing');

select * from finish();
rollback;
