-- A client who takes part gives consent, with a device of theirs; nobody else, and nobody changes it.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.session_consents $$,
  $$ insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (gen_random_uuid(), tests.session('strict'), tests.device('clio'), '{crisis_access}', tests.bytes('t', 43), tests.bytes('s', 86)) $$,
  $$ update public.session_consents set withdrawn_at = now() $$,
  $$ delete from public.session_consents $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['brook', '1', '42501', '42501', '42501'],
    array['clio', '1', '1', '42501', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501']
  ]
);

select * from tests.matrix(array[
  array['clio', $$insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (gen_random_uuid(), tests.session('strict'), tests.device('theo'), '{crisis_access}', tests.bytes('t', 43), tests.bytes('s', 86))$$, 'VG011'],
  array['clio', $$insert into public.session_consents (session_id, device_id, scope, text_hash, signature, withdrawn_at)
    values (tests.session('strict'), tests.device('clio'), '{analysis}', tests.bytes('t', 43), tests.bytes('s', 86), now())$$, '42501'],
  array['clio', $$insert into public.session_consents (session_id, device_id, scope, text_hash, signature)
    values (tests.session('strict'), tests.device('clio'), '{everything}', tests.bytes('t', 43), tests.bytes('s', 86))$$, '23514'],
  array['clio', $$insert into public.session_consents (session_id, device_id, scope, text_hash, signature)
    values (tests.session('strict'), tests.device('clio'), '{}', tests.bytes('t', 43), tests.bytes('s', 86))$$, '23514'],
  array['theo', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$, 'PT404'],
  array['anon', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$, '42501'],
  array['clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$, '1'],
  array['postgres', $$update public.session_consents set scope = '{external_models}'$$, 'VG015']
]);

-- What the caller cannot set is set for them.
select tests.act('clio', $$insert into public.session_consents (id, session_id, organization_id, user_id, device_id, scope, text_hash, signature)
  values (md5('c')::uuid, tests.session('strict'), tests.organization('birch'), tests.id('theo'), tests.device('clio'),
    '{crisis_access,analysis,analysis}', tests.bytes('t', 43), tests.bytes('s', 86))$$);
select is(user_id, tests.id('clio'), 'a consent is its giver''s') from public.session_consents where id = md5('c')::uuid;
select is(organization_id, tests.organization('alder'), 'and its session''s') from public.session_consents where id = md5('c')::uuid;
select is(scope, '{analysis,crisis_access}'::text[], 'its scopes are sorted, each once') from public.session_consents where id = md5('c')::uuid;

select tests.act('clio', $$select public.withdraw_consent(md5('c')::uuid, tests.bytes('w', 86))$$);
select isnt(withdrawn_at, null, 'withdrawn') from public.session_consents where id = md5('c')::uuid;
select is(
  tests.attempt('clio', $$select public.withdraw_consent(md5('c')::uuid, tests.bytes('x', 86))$$), '1', 'withdrawing twice is no error'
);
select is(withdrawal_signature, tests.bytes('w', 86), 'and changes nothing') from public.session_consents where id = md5('c')::uuid;
select is(tests.attempt('postgres', 'update public.session_consents set withdrawn_at = null'), 'VG015', 'a withdrawn consent stays withdrawn');

select * from finish();
rollback;
