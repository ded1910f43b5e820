-- Written by trigger; read by participants and clinicians.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.message_arrivals $$,
  $$ insert into public.message_arrivals select * from public.message_arrivals $$,
  $$ update public.message_arrivals set position = 9 $$,
  $$ delete from public.message_arrivals $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['bram', '0', '42501', '42501', '42501'],
    array['clio', '1', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '1', '42501', '42501', '42501']
  ]
);

select * from finish();
rollback;
