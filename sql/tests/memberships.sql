-- People read their own; staff their organisation's; admins write them.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.memberships $$,
  $$ insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id('nobody'), 'client') $$,
  $$ update public.memberships set ended_at = now() $$,
  $$ delete from public.memberships $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '42501'],
    array['clio', '1', '42501', '0', '42501'],
    array['theo at aal1', '1', '42501', '0', '42501'],
    array['theo', '5', '42501', '0', '42501'],
    array['sunny', '5', '42501', '0', '42501'],
    array['bert', '4', '42501', '4', '42501'],
    array['ada', '5', '1', '5', '42501'],
    array['ada at aal1', '1', '42501', '0', '42501'],
    array['vigil', '9', '42501', '42501', '42501'],
    array['service_role', '9', '1', '9', '42501']
  ]
);

select * from tests.matrix(array[
  array['ada', $$update public.memberships set user_id = tests.id('nobody')$$, '42501'],
  array['service_role', $$update public.memberships set user_id = tests.id('nobody') where user_id = tests.id('clio')$$, 'VG016']
]);

select * from finish();
rollback;
