-- The sidecar moves it; nobody else writes it; clinicians of the session read its topics, and nothing else of it.
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
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '2', '42501', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '42501'],
    array['vigil', '3', '42501', '3', '42501']
  ]
);

select * from tests.matrix(array[
  array['vigil', 'update public.session_progress set session_id = gen_random_uuid()', '42501'],
  array['theo', 'select state from public.session_progress', '42501'],
  array['theo', 'select assessed_position from public.session_progress', '42501'],
  array['vigil', $$update public.session_progress set topics = '{}'$$, '23514'],
  array['vigil', $$update public.session_progress set topics = (select jsonb_agg(n) from generate_series(1, 13) n)$$, '23514'],
  array['vigil', $$update public.session_progress set topics = '[{"topic": "work", "weight": 1.5}]'$$, '3'],
  array['theo', $$select topics from public.session_progress$$, '2']
]);

select * from finish();
rollback;
