-- Clinicians read; nobody writes, not even the sidecar, but by private.record_suggestion.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
\ir fixtures/suggestion.sql
select no_plan();

select * from tests.commands(
  $$ select from public.suggestion_seals $$,
  $$ insert into public.suggestion_seals (suggestion_id, device_id, user_id, organization_id, session_id, message_id, sealed, signature) values (tests.suggestion('assisted'), tests.device('sunny'), tests.id('sunny'), tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), 'BA' || tests.bytes('s', 200), tests.bytes('s', 86)) $$,
  $$ update public.suggestion_seals set sealed = sealed $$,
  $$ delete from public.suggestion_seals $$,
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
    array['vigil', '42501', '42501', '42501', '42501'],
    array['postgres', '2', '1', 'VG015', '2']
  ]
);

-- Plain words are no seal.
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 1));
select is(
  tests.attempt('vigil', tests.record_command(
    md5('another')::uuid, tests.message('clio', tests.session('assisted'), 1), jsonb_build_array(tests.seal(tests.device('theo')) || jsonb_build_object(field, value))
  )),
  '23514', what
)
from (values
  ('sealed', 'That sounds heavy. ' || repeat('I hear you. ', 20), 'plain words are refused'),
  ('sealed', 'BA' || tests.bytes('short', 90), 'so is what is too short to be sealed'),
  ('sealed', 'BA' || repeat('A', 32768), 'or too long'),
  ('signature', tests.bytes('short', 85), 'or not signed')
) as s (field, value, what);

select * from finish();
rollback;
