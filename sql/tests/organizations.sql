-- Members read their organisation; admins set it; nobody makes or removes one through the API.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select id from public.organizations $$,
  $$ insert into public.organizations (name) values ('Cedar practice') $$,
  $$ update public.organizations set suggestions = 'on_demand' $$,
  $$ delete from public.organizations $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '42501'],
    array['clio', '1', '42501', '0', '42501'],
    array['theo at aal1', '0', '42501', '0', '42501'],
    array['theo', '1', '42501', '0', '42501'],
    array['sunny', '1', '42501', '0', '42501'],
    array['ada', '1', '42501', '1', '42501'],
    array['bert', '1', '42501', '1', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '2', '42501']
  ]
);

select * from tests.matrix(array[
  array['vigil', 'select name from public.organizations', '42501'],
  array['ada', $$update public.organizations set id = gen_random_uuid()$$, '42501']
]);

select * from finish();
rollback;
