-- Admins write their organisation's; the sidecar reads; nobody else sees which model is asked.
begin;
\ir fixtures/people.sql
insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('birch'), 'suggest', 'openai', 'their-model');
select no_plan();

select * from tests.commands(
  $$ select from public.model_routes $$,
  $$ insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('alder'), 'suggest', 'openai', 'small-model') $$,
  $$ update public.model_routes set enabled = false $$,
  $$ delete from public.model_routes $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '0'],
    array['clio', '0', '42501', '0', '0'],
    array['theo', '0', '42501', '0', '0'],
    array['sunny', '0', '42501', '0', '0'],
    array['ada at aal1', '0', '42501', '0', '0'],
    array['bella', '0', '42501', '0', '0'],
    array['ada', '0', '1', '0', '0'],
    array['bert', '1', '42501', '1', '1'],
    array['vigil', '1', '42501', '42501', '42501'],
    array['service_role', '1', '1', '1', '1'],
    array['postgres', '1', '1', '1', '1']
  ]
);

select * from tests.matrix(array[
  array['ada', $$insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('alder'), 'assess', 'openai', 'small-model')$$, '23514'],
  array['ada', $$insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('alder'), 'suggest', 'other', 'small-model')$$, '23514'],
  array['ada', $$insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('alder'), 'suggest', 'openai', '')$$, '23514'],
  array['ada', $$insert into public.model_routes (organization_id, task, provider, model, created_at) values (tests.organization('alder'), 'suggest', 'openai', 'm', now())$$, '42501'],
  array['bert', $$update public.model_routes set organization_id = tests.organization('alder')$$, '42501'],
  array['bert', $$insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('birch'), 'suggest', 'openai', 'm')$$, '23505']
]);

select tests.act('ada', $$insert into public.model_routes (organization_id, task, provider, model) values (tests.organization('alder'), 'suggest', 'openai', 'small-model')$$);
select tests.act('ada', $$update public.model_routes set model = 'org/large-model:2', enabled = false$$);
select tests.act('ada', 'update public.model_routes set enabled = false');
select tests.act('ada', 'delete from public.model_routes');
select results_eq(
  $$select action, actor_id, subject_id, details ->> 'model', details ->> 'enabled' from public.audit_log
    where subject_table = 'model_routes' and organization_id = tests.organization('alder') order by seq$$,
  format($$values ('insert', %1$L::uuid, %2$L, 'small-model', 'true'), ('update', %1$L, %2$L, 'org/large-model:2', 'false'),
    ('delete', %1$L, %2$L, 'org/large-model:2', 'false')$$, tests.id('ada'), tests.organization('alder') || '/suggest'),
  'every change is audited, and what changes nothing is not'
);

select * from finish();
rollback;
