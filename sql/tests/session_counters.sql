-- For triggers; the sidecar and operators only read.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.session_counters $$,
  $$ insert into public.session_counters (session_id) values (gen_random_uuid()) $$,
  $$ update public.session_counters set last_position = 0 $$,
  $$ delete from public.session_counters $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '42501', '42501', '42501', '42501'],
    array['clio', '42501', '42501', '42501', '42501'],
    array['theo', '42501', '42501', '42501', '42501'],
    array['sunny', '42501', '42501', '42501', '42501'],
    array['ada', '42501', '42501', '42501', '42501'],
    array['vigil', '3', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '42501']
  ]
);

select * from finish();
rollback;
