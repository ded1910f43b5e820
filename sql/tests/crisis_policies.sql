-- Staff read; admins set; the version rises by itself.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.crisis_policies $$,
  $$ insert into public.crisis_policies (organization_id) values (tests.organization('alder')) $$,
  $$ update public.crisis_policies set page_at_level = 3 $$,
  $$ delete from public.crisis_policies $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '42501'],
    array['clio', '0', '42501', '0', '42501'],
    array['theo at aal1', '0', '42501', '0', '42501'],
    array['theo', '1', '42501', '0', '42501'],
    array['sunny', '1', '42501', '0', '42501'],
    array['ada', '1', '42501', '1', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '2', '42501']
  ]
);

select tests.act('ada', 'update public.crisis_policies set page_at_level = 3');
select is(version, 2, 'a change makes a new version') from public.crisis_policies where organization_id = tests.organization('alder');
select is(
  tests.attempt('ada', 'update public.crisis_policies set review_at_level = 5'), '23514',
  'a review is never due at a higher level than a page'
);

select * from finish();
rollback;
