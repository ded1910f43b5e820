-- Admins publish and retire the texts that people consent to; a consent is to one in force.
begin;
\ir fixtures/people.sql
select no_plan();

insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{external_models}', 'en', 'An old text.');
update public.consent_texts set retired_at = now();

select * from tests.commands(
  $$ select from public.consent_texts $$,
  $$ insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{analysis}', 'en', 'What analysis means.') $$,
  $$ update public.consent_texts set retired_at = null $$,
  $$ delete from public.consent_texts $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '42501'],
    array['clio', '1', '42501', '0', '42501'],
    array['theo', '1', '42501', '0', '42501'],
    array['theo at aal1', '0', '42501', '0', '42501'],
    array['sunny', '1', '42501', '0', '42501'],
    array['brook', '0', '42501', '0', '42501'],
    array['bert', '0', '42501', '0', '42501'],
    array['ada', '1', '1', 'VG015', '42501'],
    array['service_role', '1', '1', 'VG015', '42501'],
    array['vigil', '42501', '42501', '42501', '42501']
  ]
);
select * from tests.matrix(array[
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body, version) values (tests.organization('alder'), '{analysis}', 'en', 'x', 9)$$, '42501'],
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{everything}', 'en', 'x')$$, '23514'],
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{}', 'en', 'x')$$, '23514'],
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{analysis}', 'English', 'x')$$, '23514'],
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{analysis}', 'en', '')$$, '23514'],
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{analysis}', 'en', repeat('x', 4001))$$, '23514'],
  array['ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{analysis}', 'en', 'An old text.')$$, '23505'],
  array['ada', $$update public.consent_texts set body = 'other'$$, '42501'],
  array['postgres', $$update public.consent_texts set body = 'other'$$, 'VG015']
]);

-- Until the organisation publishes a text for it, a consent names any; from then on one in force that explains all that it covers.
create function tests.consents(scope text, hash text) returns text language sql as $$
  select tests.attempt('clio', format(
    'insert into public.session_consents (session_id, device_id, scope, text_hash, signature) values (%L, %L, %L, %L, %L)',
    tests.session('strict'), tests.device('clio'), $1, $2, tests.bytes('s', 86)))
$$;
create function tests.text_hash(body text) returns text language sql immutable as $$ select private.to_base64url(sha256(convert_to($1, 'UTF8'))) $$;

select is(tests.consents('{analysis}', tests.bytes('any', 43)), '1', 'what never had a text asks for none');
select is(tests.consents('{external_models}', tests.bytes('any', 43)), 'VG023', 'what had one asks for one in force');
select is(tests.consents('{external_models}', tests.text_hash('An old text.')), 'VG023', 'which a retired one is not');
select tests.act('ada', $$insert into public.consent_texts (organization_id, scope, language, body) values
  (tests.organization('alder'), '{crisis_access,analysis,analysis}', 'en', 'What analysis means — to you.')$$);
select results_eq(
  $$select text_hash, version, scope, retired_at from public.consent_texts where version = 2$$,
  format($$values (%L, 2, '{analysis,crisis_access}'::text[], null::timestamptz)$$, tests.text_hash('What analysis means — to you.')),
  'hash, version and order are set by trigger'
);
select is(tests.consents('{analysis}', tests.bytes('any', 43)), 'VG023', 'another text is refused');
select is(tests.consents('{analysis,external_models}', tests.bytes('any', 43)), 'VG023', 'also beside a scope that has none');
select is(tests.consents('{analysis}', tests.text_hash('An old text.')), 'VG023', 'a retired one, too');
select is(
  tests.detail('clio', format('insert into public.session_consents (session_id, device_id, scope, text_hash, signature) values (%L, %L, ''{external_models,crisis_access}'', %L, %L)',
    tests.session('strict'), tests.device('clio'), tests.bytes('any', 43), tests.bytes('s', 86))),
  '["crisis_access", "external_models"]', 'the detail says for what'
);
select is(tests.consents('{analysis}', tests.text_hash('What analysis means — to you.')), '1', 'the one in force is not');
select is(tests.consents('{analysis,crisis_access}', tests.text_hash('What analysis means — to you.')), '1', 'for all that it explains');
select is(tests.consents('{analysis,external_models}', tests.text_hash('What analysis means — to you.')), 'VG023', 'and nothing else that ever was explained');
select tests.act('ada', $$insert into public.consent_texts (organization_id, scope, language, body) values (tests.organization('alder'), '{analysis}', 'de', 'Was Analyse heißt.')$$);
select is(tests.consents('{analysis}', tests.text_hash('Was Analyse heißt.')), '1', 'a text in another language stands beside it');
select is(tests.consents('{analysis,crisis_access}', tests.text_hash('Was Analyse heißt.')), 'VG023', 'but explains no more than it says');
select tests.act('ada', $$update public.consent_texts set retired_at = '2000-01-01' where version = 2$$);
select is(retired_at > '2001-01-01', true, 'retired now, whatever is said') from public.consent_texts where version = 2;
select is(tests.consents('{crisis_access}', tests.bytes('any', 43)), 'VG023', 'the demand for a text outlives it: nobody consents until there is another');
select tests.act('brook', format('insert into public.session_consents (session_id, device_id, scope, text_hash, signature) values (%L, %L, ''{crisis_access}'', %L, %L)',
  tests.session('theirs'), tests.device('brook'), tests.bytes('any', 43), tests.bytes('s', 86)));
select is(count(*), 1::bigint, 'another practice''s texts ask nothing of this one''s clients') from public.session_consents where user_id = tests.id('brook') and scope = '{crisis_access}';
select is(withdrawn_at, null, 'consents that were given stand') from public.session_consents where id = md5('consent assisted')::uuid;
select is((select count(*) from public.audit_log where subject_table = 'consent_texts'), 5::bigint, 'publishing and retiring are audited');
select is((select count(*) from public.audit_log where subject_table = 'consent_texts' and details::text like '%analysis means%'), 0::bigint, 'without the text');

select * from finish();
rollback;
