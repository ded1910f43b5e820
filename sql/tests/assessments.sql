-- The sidecar records and supersedes; clinicians read; clients never.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

select * from tests.commands(
  $$ select from public.assessments $$,
  $$ insert into public.assessments (organization_id, session_id, message_id, position, source, status, level) values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', 0) $$,
  $$ update public.assessments set superseded_at = now() $$,
  $$ delete from public.assessments $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['olive', '1', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501'],
    array['vigil', '2', '1', '2', '42501']
  ]
);

select * from tests.matrix(array[
  array['vigil', 'update public.assessments set level = 0', '42501'],
  array['vigil', 'update public.assessments set superseded_at = null', '42501'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, status)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'not_assessed')$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, status, level)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'assessed', 1)$$, '23505'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, level)
    values (tests.organization('birch'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', 1)$$, '23503'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, items)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', '{present,absent}')$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, items)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', '{present,absent,maybe,unknown,unknown,unknown}')$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, risk_score)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', 1.01)$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, abuse_score)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', 'NaN')$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, hard)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', '{everything}')$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, language)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', 'English')$$, '23514'],
  array['vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, source, status, level, items, risk_score, harm_others_score, abuse_score, distress_score, hard, emotions, language)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'other', 'assessed', 4,
      '{present,present,unknown,present,absent,unknown}', 1, 0, 0.5, 0.25, '{self_harm}', '{sadness}', 'en')$$, '1'],
  array['postgres', 'update public.assessments set level = 0', 'VG015']
]);

select tests.act('vigil', 'update public.assessments set superseded_at = now()');
select is(tests.attempt('vigil', $$insert into public.assessments (organization_id, session_id, message_id, position, status, level)
    values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 1, 'assessed', 1)$$),
  '1', 'a superseded assessment makes room for the next');

select * from finish();
rollback;
