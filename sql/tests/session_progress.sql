-- The sidecar moves it; nobody else writes it.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.session_progress $$,
  $$ insert into public.session_progress (session_id, organization_id) values (gen_random_uuid(), gen_random_uuid()) $$,
  $$ update public.session_progress set assessed_position = 1, state = '{}', state_version = 1, updated_at = now() $$,
  $$ delete from public.session_progress $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '42501', '42501', '42501', '42501'],
    array['clio', '42501', '42501', '42501', '42501'],
    array['theo', '42501', '42501', '42501', '42501'],
    array['sunny', '42501', '42501', '42501', '42501'],
    array['ada', '42501', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '42501'],
    array['vigil', '3', '42501', '3', '42501']
  ]
);

select * from tests.matrix(array[array['vigil', 'update public.session_progress set session_id = gen_random_uuid()', '42501']]);

select * from finish();
rollback;
