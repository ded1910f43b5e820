-- Admins add and remove their organisation's; staff read; a change is a new version of the crisis policy.
begin;
\ir fixtures/people.sql
insert into public.topic_terms (organization_id, topic, term) values (tests.organization('birch'), 'visa', 'work permit');
select no_plan();

select * from tests.commands(
  $$ select from public.topic_terms $$,
  $$ insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'night-shift', 'the night rota') $$,
  $$ update public.topic_terms set topic = 'other' $$,
  $$ delete from public.topic_terms $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '0'],
    array['clio', '0', '42501', '42501', '0'],
    array['theo', '0', '42501', '42501', '0'],
    array['sunny', '0', '42501', '42501', '0'],
    array['ada at aal1', '0', '42501', '42501', '0'],
    array['ada', '0', '1', '42501', '0'],
    array['bert', '1', '42501', '42501', '1'],
    array['service_role', '1', '1', '42501', '1'],
    array['vigil', '1', '42501', '42501', '42501']
  ]
);

select * from tests.matrix(array[
  array['ada', $$insert into public.topic_terms (organization_id, topic, term, language) values (tests.organization('alder'), 'exams', 'Abitur', 'de')$$, '1'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('birch'), 'exams', 'finals')$$, '42501'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'Night shift', 'nights')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), repeat('a', 41), 'nights')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', 'n')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', repeat('n', 61))$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', E'a\nb')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', ' nights')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', '555 0199')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', 'a@b.example')$$, '23514'],
  array['ada', $$insert into public.topic_terms (organization_id, topic, term, language) values (tests.organization('alder'), 'nights', 'nights', 'english')$$, '23514']
]);

select tests.act('ada', $$insert into public.topic_terms (organization_id, topic, term) select tests.organization('alder'), 'nights', 'night ' || n from generate_series(1, 300) n$$);
select results_eq(
  $$select version, terms_version from public.crisis_policies where organization_id = tests.organization('alder')$$,
  'values (2, 2)', 'many terms at once are one new version of the policy, which says so'
);
select * from tests.matrix(array[
  ['theo', 'select from public.topic_terms', '300'],
  ['sunny', 'select from public.topic_terms', '300'],
  ['clio', 'select from public.topic_terms', '0'],
  ['bert', 'select from public.topic_terms', '1'],
  ['nobody', 'select from public.topic_terms', '0']
]);
select throws_ok(
  $$insert into public.topic_terms (organization_id, topic, term) values (tests.organization('alder'), 'nights', 'one more')$$, '23514',
  'an organisation has at most 300 topic terms', 'there is an end to it'
);
select tests.act('ada', 'update public.crisis_policies set page_at_level = 3');
select tests.act('ada', $$delete from public.topic_terms where term = 'night 7'$$);
select results_eq(
  $$select version, terms_version from public.crisis_policies where organization_id = tests.organization('alder')$$,
  'values (4, 4)', 'so is it to remove one; another change of the policy leaves terms_version'
);
select is(
  (select version from public.crisis_policies where organization_id = tests.organization('birch')), 2, 'another organisation''s policy stands'
);
select results_eq(
  $$select action, actor_id, subject_id, count(*)::int from public.audit_log
    where subject_table = 'topic_terms' and organization_id = tests.organization('alder') group by 1, 2, 3 order by 1$$,
  format($$values ('delete', %1$L::uuid, %2$L, 1), ('insert', %1$L, %2$L, 300)$$, tests.id('ada'), tests.organization('alder') || '/nights'),
  'every term is audited by its topic'
);
delete from public.crisis_policies where organization_id = tests.organization('alder');
select is_empty($$select from public.topic_terms where organization_id = tests.organization('alder')$$, 'terms go with the policy');

select * from finish();
rollback;
