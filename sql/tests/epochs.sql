-- private.admit_epoch and create_epoch: every reason for which an epoch is refused, then one that is not.
begin;
\ir fixtures/people.sql
select no_plan();

-- The command of an epoch that would be accepted, with one argument replaced.
create function tests.epoch_but(who text, session uuid, consent uuid, argument text, value text) returns text language plpgsql stable as $$
declare
  roster jsonb := private.expected_roster(session);
  a jsonb;
begin
  a := jsonb_build_object(
    'session_id', session, 'epoch', private.next_epoch(session), 'device_id', tests.device(who), 'roster', roster,
    'roster_hash', private.roster_hash(roster), 'key_commit', tests.bytes('c', 43), 'signature', tests.bytes('s', 86), 'consent_id', consent,
    'wraps', (select jsonb_object_agg(m ->> 'kid', tests.bytes('w' || (m ->> 'kid'), 151)) from jsonb_array_elements(roster) m)
  );
  if argument is not null then
    a := a || jsonb_build_object(argument, case when argument in ('roster', 'wraps') then value::jsonb else to_jsonb(value) end);
  end if;
  return format(
    'select public.create_epoch(%L, %L, %L, %L, %L, %L, %L, %L, %L)',
    a ->> 'session_id', a ->> 'epoch', a ->> 'device_id', a -> 'roster', a ->> 'roster_hash', a ->> 'key_commit', a ->> 'signature',
    a ->> 'consent_id', a -> 'wraps'
  );
end
$$;
create function tests.assisted_but(argument text, value text) returns text language sql stable as $$
  select tests.epoch_but('theo', tests.session('assisted'), md5('consent assisted')::uuid, argument, value)
$$;
create function tests.roster() returns jsonb language sql stable as $$ select private.expected_roster(tests.session('assisted')) $$;
create function tests.wraps() returns jsonb language sql stable as $$
  select jsonb_object_agg(m ->> 'kid', tests.bytes('w', 151)) from jsonb_array_elements(tests.roster()) m
$$;

-- Refused: who.
select * from tests.matrix(array[
  array['anon', tests.assisted_but(null, null), '42501'],
  array['bram', tests.assisted_but('device_id', tests.device('bram')::text), '42501'],
  array['sunny', tests.assisted_but('device_id', tests.device('sunny')::text), '42501'],
  array['theo at aal1', tests.assisted_but(null, null), '42501'],
  array['vigil', tests.assisted_but(null, null), '42501'],
  array['service_role', tests.assisted_but(null, null), '42501'],
  array['theo', tests.assisted_but('session_id', gen_random_uuid()::text), '42501'],
  array['theo', tests.assisted_but('device_id', tests.device('clio')::text), 'VG011'],
  array['theo', tests.assisted_but('device_id', md5('analysis')::uuid::text), 'VG011']
]);

-- Refused: which epoch, what consent.
select * from tests.matrix(array[
  array['theo', tests.assisted_but('epoch', '1'), 'PT409'],
  array['theo', tests.assisted_but('epoch', '3'), 'PT409'],
  array['theo', tests.assisted_but('epoch', '0'), 'PT409'],
  array['theo', tests.assisted_but('consent_id', null), 'VG006'],
  array['theo', tests.assisted_but('consent_id', gen_random_uuid()::text), 'VG006'],
  array['theo', tests.assisted_but('consent_id', md5('consent theirs')::uuid::text), 'VG006'],
  array['theo', tests.epoch_but('theo', tests.session('strict'), md5('consent assisted')::uuid, null, null), 'VG006']
]);
select is(
  tests.detail('theo', tests.assisted_but('epoch', '1')), '{"min_epoch": 1, "next_epoch": 2}', 'who lost the race is told the next epoch'
);

-- Refused: the roster. An assisted session without the analysis key would be a silent miss.
select is(tests.attempt('theo', command), code, what)
from (values
  (tests.assisted_but('roster', (select jsonb_agg(m) from jsonb_array_elements(tests.roster()) m where m ->> 'role' <> '9')::text),
    'VG004', 'assisted, without the analysis key'),
  (tests.epoch_but('theo', tests.session('strict'), null, 'roster', tests.roster()::text), 'VG004', 'strict, with the analysis key'),
  (tests.assisted_but('roster', (select jsonb_agg(m) from jsonb_array_elements(tests.roster()) m where m ->> 'kid' <> tests.device('clio')::text)::text),
    'VG004', 'a member removed'),
  (tests.assisted_but('roster', (tests.roster() || jsonb_build_object('kid', tests.device('olive'), 'role', 2, 'enc_pub', tests.key('enc olive'), 'sig_pub', tests.key('sig olive')))::text),
    'VG004', 'a member added'),
  (tests.assisted_but('roster', (tests.roster() || (tests.roster() -> 0))::text), 'VG004', 'a member twice'),
  (tests.assisted_but('roster', jsonb_set(tests.roster(), '{0,role}', '3')::text), 'VG004', 'a role changed'),
  (tests.assisted_but('roster', jsonb_set(tests.roster(), '{0,enc_pub}', to_jsonb(tests.key('other')))::text), 'VG004', 'an encryption key changed'),
  (tests.assisted_but('roster', jsonb_set(tests.roster(), '{1,sig_pub}', to_jsonb(tests.key('other')))::text), 'VG004', 'a signing key changed'),
  (tests.assisted_but('roster', jsonb_set(tests.roster(), '{0,more}', '1')::text), 'VG004', 'a field more'),
  (tests.assisted_but('roster', '[]'), 'VG004', 'nobody'),
  (tests.assisted_but('roster', '{}'), 'VG004', 'not a list'),
  (tests.assisted_but('roster', 'null'), 'VG004', 'null'),
  (tests.assisted_but('roster_hash', tests.bytes('other', 43)), 'VG005', 'another hash'),
  (tests.assisted_but('key_commit', 'short'), '23514', 'a commitment of another length'),
  (tests.assisted_but('signature', 'short'), '23514', 'a signature of another length'),
  (tests.assisted_but('wraps', (tests.wraps() - md5('analysis')::uuid::text)::text), 'VG008', 'no wrap for the analysis key'),
  (tests.assisted_but('wraps', (tests.wraps() || jsonb_build_object(tests.device('olive')::text, tests.bytes('w', 151)))::text), 'VG008', 'a wrap more'),
  (tests.assisted_but('wraps', '{}'), 'VG008', 'no wraps'),
  (tests.assisted_but('wraps', jsonb_set(tests.wraps(), array[tests.device('clio')::text], '"short"')::text), '23514', 'a wrap truncated')
) as c (command, code, what);
select is(
  tests.detail('theo', tests.assisted_but('roster', (select jsonb_agg(m) from jsonb_array_elements(tests.roster()) m where m ->> 'role' <> '9')::text))::jsonb,
  jsonb_build_object('missing', jsonb_build_array(md5('analysis')::uuid), 'not_expected', '[]'::jsonb, 'different', '[]'::jsonb),
  'a refused roster is told what is wrong with it'
);

-- Refused: the state of the world.
savepoint world;
select tests.act('theo', format('select public.end_session(%L)', tests.session('assisted')));
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG002', 'an ended session has no new epoch');
rollback to world;
update public.devices set revoked_at = now() where id = tests.device('theo');
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG011', 'a revoked device makes no epoch');
rollback to world;
update public.devices set revoked_at = now() where kind = 'analysis';
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG007', 'without an analysis device no assisted epoch');
rollback to world;
select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$);
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG006', 'a withdrawn consent makes no epoch');
select is(tests.detail('theo', tests.assisted_but(null, null)), jsonb_build_array(tests.id('clio'))::text, 'and whose is missing is told');
rollback to world;
-- The sidecar opens nothing of an epoch whose consent a revoked device signed: the database makes none.
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('second')::uuid, tests.id('clio'), tests.key('enc second'), tests.key('sig second'));
select tests.admit(md5('second')::uuid);
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG006', 'a consent signed by a revoked device makes no epoch');
select is(tests.detail('theo', tests.assisted_but(null, null)), jsonb_build_array(tests.id('clio'))::text, 'and its client is asked again');
select tests.act('clio', $$insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature)
  values (md5('again')::uuid, tests.session('assisted'), md5('second')::uuid, '{analysis}', tests.bytes('t', 43), tests.bytes('s', 86))$$);
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG006', 'it may not be named where another stands');
select is(tests.attempt('theo', tests.assisted_but('consent_id', md5('again')::uuid::text)), '1', 'which may');
rollback to world;
select tests.act('clio', $$insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature)
  values (md5('narrow')::uuid, tests.session('assisted'), tests.device('clio'), '{crisis_access}', tests.bytes('t', 43), tests.bytes('s', 86))$$);
select is(tests.attempt('theo', tests.assisted_but('consent_id', md5('narrow')::uuid::text)), 'VG006', 'consent to something else is not consent to analysis');
rollback to world;
insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id('nobody'), 'client');
insert into public.session_participants (session_id, user_id, organization_id, role)
values (tests.session('assisted'), tests.id('nobody'), tests.organization('alder'), 'client');
select is(tests.attempt('theo', tests.assisted_but(null, null)), 'VG006', 'one client''s consent does not bind another');
rollback to world;

-- Accepted.
select is(tests.attempt('theo', tests.assisted_but(null, null)), '1', 'the therapist makes the next epoch');
select is(
  tests.attempt('clio', tests.epoch_but('clio', tests.session('assisted'), md5('consent assisted')::uuid, null, null)), '1', 'the client makes the next epoch'
);
select is(
  tests.attempt('theo', tests.assisted_but('roster', (select jsonb_agg(m order by m ->> 'kid' desc) from jsonb_array_elements(tests.roster()) m)::text)),
  '1', 'the order of the roster does not matter'
);
select tests.act('theo', tests.assisted_but(null, null));
select results_eq(
  format('select epoch, assisted, organization_id, device_id from public.session_epochs where session_id = %L order by 1', tests.session('assisted')),
  format('values (1, true, %1$L::uuid, %2$L::uuid), (2, true, %1$L, %2$L)', tests.organization('alder'), tests.device('theo')),
  'epochs follow one another'
);
select is(
  (select jsonb_object_agg(device_id, role) from public.epoch_wraps where session_id = tests.session('assisted') and epoch = 2),
  jsonb_build_object(tests.device('clio'), 1, tests.device('theo'), 2, md5('analysis')::uuid, 9),
  'each device of the roster has its wrap, with its role'
);
select is(
  tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 5, 1)), '1', 'the epoch before may still be used: nobody lost access'
);

-- A later analysis key is the one that new epochs must hold.
select private.register_analysis_device(md5('analysis 2')::uuid, tests.key('enc analysis 2'), tests.key('sig analysis 2'));
select is(
  (select m ->> 'kid' from jsonb_array_elements(tests.roster()) m where m ->> 'role' = '9'), md5('analysis 2')::uuid::text,
  'a new epoch holds the newest analysis key'
);

-- The hash of ENVELOPE's test vector.
select is(private.roster_hash(v.roster), v.roster_hash, 'the roster hash is the one that devices compute') from (values (
  $$
  [
    {
      "kid": "9d620e40-0f74-47f7-931a-f01fb28af217",
      "role": 1,
      "enc_pub": "BMH4Qvq7H6lpEMNDqB2UJ_kfeZpc0YglbRiw1dPK2Qqqm13E804fgVBiydBxJglLWnWCP_IyKztlo0i1xID8t6I",
      "sig_pub": "BM6bxLfmFMdoZH77_kpgFhN7PYhuFnPYDVRoqeotQS5AcUFLNKWwqJsC8muMvxFOaAL7w660CR1Arv_KiO9_qUw"
    },
    {
      "kid": "64b49503-6cce-428b-95ef-1bbaa277e422",
      "role": 2,
      "enc_pub": "BIN4pNWGdhNUwBGoJGzAv7QMdQ1lgFzv0_mQ6PsOztmYa_tCUrANzqRd75tn6Oy8LYInxoC4bnNW6zjYTPUXkwk",
      "sig_pub": "BL2qPcWyb7vPtB5gAimxHPkUzGRxtI6Yo5i4PRSLA_p7_3YSDqc3zCRbSStwRLL6DZ8afPta8WLdkel9V9TbIP8"
    },
    {
      "kid": "33b55215-19e5-4ab9-8685-d8704b384e1f",
      "role": 9,
      "enc_pub": "BCe7Qy3UKwN2B3UoOTGSoMJgR3lCk_t382793Q-qukxVRqLg75I2FNFJPqeZCUoNAnT7xugwDu_oo_3a1B7GS7M",
      "sig_pub": ""
    }
  ]
  $$::jsonb,
  'CctjjkMeZSF7MNZg78Qahaj7SrXANn7aG-2eq35BFBA'
)) as v (roster, roster_hash);

select * from finish();
rollback;
