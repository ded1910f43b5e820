-- People write their own name, and read the names of those they meet.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.profiles $$,
  $$ insert into public.profiles (user_id, display_name) values (tests.id('nobody'), 'Nobody Example') $$,
  $$ update public.profiles set display_name = 'Other Example' $$,
  $$ delete from public.profiles $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['clio', '2', '42501', '1', '42501'],
    array['theo at aal1', '1', '42501', '1', '42501'],
    array['theo', '5', '42501', '1', '42501'],
    array['ada', '5', '42501', '1', '42501'],
    array['bram', '4', '42501', '1', '42501'],
    array['nobody', '0', '1', '0', '42501'],
    array['service_role', '9', '1', '9', '42501']
  ]
);

select * from finish();
rollback;
