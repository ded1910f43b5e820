-- Erasing: a message goes under both publications, with all that was derived from it, and the audit log says so.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
\ir fixtures/suggestion.sql
insert into public.alert_page_deliveries (alert_id, step, channel) values (tests.alert('assisted'), 1, 'webhook');
select no_plan();

-- As on a hosted project, where Realtime has a publication of its own beside ours.
select is(
  (select string_agg(pubname, ',' order by pubname) from pg_publication_tables where schemaname = 'public' and tablename = 'messages'),
  'vigil_messages', 'messages are in one publication'
);
select is(pubdelete, false, 'which sends no delete: with a row filter every delete would fail') from pg_publication where pubname = 'vigil_messages';

-- Refused.
select * from tests.matrix(array[
  array['anon', 'delete from public.messages', '42501'],
  array['clio', 'delete from public.messages', '42501'],
  array['theo', 'delete from public.messages', '42501'],
  array['ada', 'delete from public.messages', '42501'],
  array['vigil', 'delete from public.messages', '42501']
]);

-- Done: by the service role and by an operator.
select tests.act('service_role', format('delete from public.messages where id = %L', tests.message('clio', tests.session('assisted'), 0)));
select is(count(*), 0::bigint, 'the message is gone') from public.messages where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'its assessment too') from public.assessments where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'its alert too') from public.alerts where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'the alert''s events too') from public.alert_events where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'the alert''s recipients too') from public.alert_recipients where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'the alert''s pages too') from public.alert_pages where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'and what they were sent by') from public.alert_page_deliveries;
select is(count(*), 0::bigint, 'its suggestions too') from public.suggestions where session_id = tests.session('assisted');
select is(count(*), 0::bigint, 'and their sealed text') from public.suggestion_seals where session_id = tests.session('assisted');
select results_eq(
  $$select action, subject_id, actor_kind, details ->> 'position' from public.audit_log where subject_table = 'messages'$$,
  format($$values ('delete', %L, 'service', '1')$$, tests.message('clio', tests.session('assisted'), 0)), 'the audit log keeps a tombstone'
);
select tests.act('postgres', 'delete from public.messages where session_id = tests.session(''strict'')');
select is(count(*), 0::bigint, 'a strict message''s arrival goes with it') from public.message_arrivals;

-- Positions go on; none is given twice.
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 1));
select results_eq(
  'select position, previous_assisted_position from public.messages where session_id = tests.session(''assisted'')', 'values (2::bigint, 1::bigint)', 'an erased position is not given again'
);

-- Crypto-shredding: the wraps go, and with them every key but the devices' own.
select tests.act('service_role', 'delete from public.epoch_wraps where session_id = tests.session(''assisted'')');
select is(count(*), 3::bigint, 'erased wraps are audited, one by one') from public.audit_log where subject_table = 'epoch_wraps';

-- A whole session, by an operator.
select tests.act('postgres', 'delete from public.sessions where id = tests.session(''assisted'')');
select is(count(*), 0::bigint, 'a session takes all that is its own') from public.session_epochs where session_id = tests.session('assisted');
select is(private.first_broken_audit(tests.organization('alder')), null, 'and the chain is whole');

select * from finish();
rollback;
