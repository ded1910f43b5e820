-- Participants and clinicians read; every change is an RPC.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.sessions $$,
  $$ insert into public.sessions (organization_id, mode) values (tests.organization('alder'), 'strict') $$,
  $$ update public.sessions set status = 'ended' $$,
  $$ delete from public.sessions $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['clio', '2', '42501', '42501', '42501'],
    array['theo', '2', '42501', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['vigil', '3', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '42501']
  ]
);

-- Whom an unresolved alert reached sees that session, until it is resolved.
\ir fixtures/alert.sql
select is(tests.attempt('olive', 'select from public.sessions'), '1', 'on call: the session of an open alert');
select is(tests.attempt('olive at aal1', 'select from public.sessions'), '0', 'on call, but without the second factor: nothing');
select tests.act('theo', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.attempt('olive', 'select from public.sessions'), '0', 'on call: no more once the alert is resolved');

select * from finish();
rollback;
