-- People register, name and revoke their own devices; the sidecar's come by a function.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select id from public.devices $$,
  $$ insert into public.devices (enc_pub, sig_pub, label) values (tests.key('e'), tests.key('s'), 'laptop') $$,
  $$ update public.devices set revoked_at = now() $$,
  $$ delete from public.devices $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '1', '1', '0', '42501'],
    array['clio', '3', '1', '1', '42501'],
    array['theo at aal1', '2', '1', 'VG024', '42501'],
    array['theo', '6', '1', '1', '42501'],
    array['olive', '6', '1', '1', '42501'],
    array['bram', '5', '1', '1', '42501'],
    array['vigil', '10', '42501', '42501', '42501'],
    array['service_role', '10', '42501', '10', '42501']
  ]
);

select * from tests.matrix(array[
  array['clio', $$insert into public.devices (user_id, enc_pub, sig_pub) values (tests.id('theo'), tests.key('e'), tests.key('s'))$$, '42501'],
  array['clio', $$insert into public.devices (user_id, kind, enc_pub, sig_pub) values (null, 'analysis', tests.key('e'), tests.key('s'))$$, '42501'],
  array['clio', $$insert into public.devices (enc_pub, sig_pub) values ('BA', tests.key('s'))$$, '23514'],
  array['clio', $$update public.devices set enc_pub = tests.key('z')$$, '42501'],
  array['vigil', 'select label from public.devices', '42501'],
  array['clio', $$select private.register_analysis_device(gen_random_uuid(), tests.key('e'), tests.key('s'))$$, '42501'],
  array['vigil', $$select private.register_analysis_device(md5('analysis')::uuid, tests.key('e'), tests.key('s'))$$, 'VG017'],
  array['vigil', $$select private.register_analysis_device(tests.device('clio'), tests.key('enc clio'), tests.key('sig clio'))$$, 'VG017'],
  array['vigil', $$select private.register_analysis_device(md5('analysis')::uuid, tests.key('enc analysis'), tests.key('sig analysis'))$$, '1'],
  array['vigil', $$select private.register_analysis_device(gen_random_uuid(), tests.key('e'), tests.key('s'))$$, '1'],
  array['postgres', $$update public.devices set sig_pub = tests.key('z')$$, 'VG015']
]);

select tests.act('clio', 'update public.devices set revoked_at = ''2001-01-01''');
select is(revoked_at, now(), 'a revocation is dated by the database') from public.devices where id = tests.device('clio');
select is(tests.attempt('clio', 'update public.devices set revoked_at = null'), 'VG015', 'a revoked device stays revoked');
select tests.act('postgres', $$update public.devices set revoked_at = now() where id = md5('analysis')::uuid$$);
select is(
  tests.attempt('vigil', $$select private.register_analysis_device(md5('analysis')::uuid, tests.key('enc analysis'), tests.key('sig analysis'))$$),
  'VG017', 'a revoked analysis device does not come back'
);

select * from finish();
rollback;
