-- The sidecar raises; clinicians read; only alert_events change an alert (alert_events.sql).
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

select * from tests.commands(
  $$ select from public.alerts $$,
  $$ insert into public.alerts (organization_id, session_id, message_id, assessment_id, level, source) values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), md5('assessment assisted')::uuid, 4, 'other') $$,
  $$ update public.alerts set status = 'resolved' $$,
  $$ delete from public.alerts $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['olive', '1', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501'],
    array['vigil', '2', '1', '42501', '42501'],
    array['postgres', '2', '1', 'VG015', '2']
  ]
);

select is(
  tests.read('vigil', $$insert into public.alerts (organization_id, session_id, message_id, assessment_id, level, source, status, version)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0),
      md5('assessment assisted')::uuid, 4, 'other', 'resolved', 7) returning status || ' ' || version$$),
  'open 1', 'an alert begins open, at version 1'
);

select * from finish();
rollback;
