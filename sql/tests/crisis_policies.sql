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

select is(page_least_harm_others, 0.98::real, 'a danger to others pages when it is sure')
from public.crisis_policies where organization_id = tests.organization('alder');

select tests.act('ada', 'update public.crisis_policies set page_at_level = 3');
select is(version, 2, 'a change makes a new version') from public.crisis_policies where organization_id = tests.organization('alder');
select is(
  tests.attempt('ada', 'update public.crisis_policies set review_at_level = 5'), '23514',
  'a review is never due at a higher level than a page'
);

select * from tests.matrix(array[
  array['ada', $$update public.crisis_policies set page_categories = '{self_harm,harm_others,abuse}', quiet_rules = '{idiom.film,wish.tired}', review_rules = '{topic.visa}'$$, '1'],
  array['ada', $$update public.crisis_policies set page_least_harm_others = 0.9, review_least_distress = 1, review_categories = '{self_harm,harm_others,abuse}'$$, '1'],
  array['ada', $$update public.crisis_policies set page_categories = '{}', quiet_rules = '{}', review_rules = '{}'$$, '1'],
  array['theo', $$update public.crisis_policies set page_categories = '{}'$$, '0'],
  array['ada', 'update public.crisis_policies set terms_version = 9', '42501'],
  array['ada', 'update public.crisis_policies set version = 9', '42501'],
  array['ada', $$update public.crisis_policies set page_least_abuse = 1.1$$, '23514'],
  array['ada', $$update public.crisis_policies set review_least_self_harm = -0.1$$, '23514'],
  array['ada', $$update public.crisis_policies set page_least_self_harm = 'NaN'$$, '23514'],
  array['ada', $$update public.crisis_policies set quiet_rules = '{"a rule"}'$$, '23514'],
  array['ada', $$update public.crisis_policies set quiet_rules = '{"a,b"}'$$, '23514'],
  array['ada', $$update public.crisis_policies set quiet_rules = '{a,null}'$$, '23514'],
  array['ada', $$update public.crisis_policies set quiet_rules = '{""}'$$, '23514'],
  array['ada', $$update public.crisis_policies set review_rules = (select array_agg('r' || n) from generate_series(1, 51) n)$$, '23514'],
  array['ada', $$update public.crisis_policies set page_categories = null$$, '23502']
]);
select throws_ok(
  $$update public.crisis_policies set page_categories = '{self_harm,everything}'$$, '23514',
  'new row for relation "crisis_policies" violates check constraint "categories are self_harm, harm_others, abuse, distress"', 'what is refused is said'
);
select throws_ok(
  $$update public.crisis_policies set review_categories = '{self_harm}', page_categories = '{abuse}'$$, '23514',
  'new row for relation "crisis_policies" violates check constraint "what pages is reviewed"', 'what pages is reviewed'
);
select throws_ok(
  $$update public.crisis_policies set page_categories = '{}', review_categories = '{harm_others}'$$, '23514',
  'new row for relation "crisis_policies" violates check constraint "self_harm is always reviewed"', 'self-harm is never passed over'
);
select tests.act('ada', $$update public.crisis_policies set page_categories = '{self_harm}'$$);
select lives_ok(
  $$update public.crisis_policies set quiet_rules = (select array_agg(repeat('q', 60) || n) from generate_series(10, 59) n),
    review_rules = (select array_agg(repeat('r', 60) || n) from generate_series(10, 59) n)$$, 'as many and as long as may be'
);
select results_eq(
  $$select details -> 'version', details -> 'page_categories' from public.audit_log
    where subject_table = 'crisis_policies' and organization_id = tests.organization('alder') order by seq limit 2$$,
  $$values ('2'::jsonb, null::jsonb), ('3', '["self_harm"]')$$, 'each version is in the audit log, with what it changed'
);

select * from finish();
rollback;
