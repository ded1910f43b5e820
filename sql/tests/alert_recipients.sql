-- The sidecar names recipients; they and the session's clinicians read.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

select * from tests.commands(
  $$ select from public.alert_recipients $$,
  $$ insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason) values (tests.alert('assisted'), tests.id('sunny'), tests.organization('alder'), tests.session('assisted'), 'supervisor') $$,
  $$ update public.alert_recipients set ended_at = null $$,
  $$ delete from public.alert_recipients $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['olive at aal1', '0', '42501', '42501', '42501'],
    array['theo', '2', '42501', '42501', '42501'],
    array['olive', '2', '42501', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['bram', '2', '42501', '42501', '42501'],
    array['service_role', '4', '42501', '42501', '42501'],
    array['vigil', '4', '1', '42501', '42501']
  ]
);

-- After the alert is resolved its recipients still read their own inbox, and no more.
select tests.act('sunny', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.attempt('olive', 'select from public.alert_recipients'), '1', 'a resolved alert stays in the recipient''s inbox');
select is(tests.attempt('olive', 'select from public.alerts'), '0', 'but is not theirs to read any more');

select * from finish();
rollback;
