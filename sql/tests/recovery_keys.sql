-- A recovery key is for its person alone: set, put under another passphrase, removed by functions; its device is on every roster and does nothing.
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.recovery(version int, other jsonb default '{}') returns jsonb language sql immutable as $$
  select jsonb_build_object(
    'version', version, 'memory_kib', 65536, 'passes', 3, 'lanes', 1, 'salt', tests.bytes('salt', 22), 'wrapped', tests.bytes('wrapped' || version, 166),
    'age_recipient', 'age1' || translate(tests.bytes('age', 58), 'bio', 'xyz')
  ) || other
$$;
create function tests.set_command(who text, name text, key jsonb) returns text language sql stable as $$
  select format('select public.set_recovery(%L, %L, %L)',
    jsonb_build_object('id', md5(name)::uuid, 'enc_pub', tests.key('enc ' || name), 'sig_pub', tests.key('sig ' || name)),
    jsonb_build_object('by_device_id', tests.device(who), 'signature', tests.bytes('cross', 86)), key)
$$;
create function tests.min_epochs() returns text language sql stable as $$
  select string_agg(s.min_epoch::text, ' ' order by array_position(array[tests.session('strict'), tests.session('assisted'), tests.session('theirs')], s.id))
  from public.sessions s
$$;
select tests.act('clio', tests.set_command('clio', 'rc', tests.recovery(1)));
select tests.act('theo', tests.set_command('theo', 'rt', tests.recovery(1)));

select * from tests.commands(
  $$ select from public.recovery_keys $$,
  $$ insert into public.recovery_keys (user_id, version, device_id, memory_kib, passes, lanes, salt, wrapped, age_recipient)
     select user_id, 2, device_id, memory_kib, passes, lanes, salt, wrapped, age_recipient from public.recovery_keys where user_id = tests.id('clio') $$,
  $$ update public.recovery_keys set wrapped = wrapped $$,
  $$ delete from public.recovery_keys $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '1', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['theo at aal1', '1', '42501', '42501', '42501'],
    array['sunny', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '42501', '42501', '42501', '42501'],
    array['postgres', '2', '1', 'VG015', '2']
  ]
);

-- Setting one.
select results_eq(
  $$select kind, user_id, admitted_at from public.devices where id = md5('rc')::uuid$$,
  format($$values ('recovery', %L::uuid, null::timestamptz)$$, tests.id('clio')), 'its device waits, like any later one'
);
select results_eq(
  'select kind, by_device_id from private.devices_to_admit(10) order by by_device_id = tests.device(''clio'') desc',
  format($$values ('recovery', %L::uuid), ('recovery', %L)$$, tests.device('clio'), tests.device('theo')), 'and the sidecar is asked'
);
select is(tests.min_epochs(), '1 1 1', 'until then nothing changes');
select is(tests.attempt(who, command), code, what)
from (values
  ('anon', tests.set_command('clio', 'x', tests.recovery(2)), '42501', 'nobody sets one without a login'),
  ('vigil', tests.set_command('clio', 'x', tests.recovery(2)), '42501', 'nor does the sidecar'),
  ('service_role', tests.set_command('clio', 'x', tests.recovery(2)), '42501', 'nor the service role'),
  ('bram', tests.set_command('clio', 'x', tests.recovery(1)), 'VG011', 'nobody vouches with somebody else''s device'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(1)), 'PT409', 'a version that is there is not overwritten'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(3)), 'PT409', 'none is left out'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2, '{"memory_kib": 1024}')), '23514', 'a passphrase is not made cheap to guess: memory'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2, '{"passes": 1}')), '23514', 'passes'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2, '{"memory_kib": 2097152}')), '23514', 'nor dear beyond any device'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2, '{"wrapped": "short"}')), '23514', 'a sealed key of another length'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2, '{"salt": "short"}')), '23514', 'a salt of another length'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2, '{"age_recipient": "age1"}')), '23514', 'no recipient'),
  ('clio', tests.set_command('clio', 'x', tests.recovery(2)), '1', 'the next version is taken')
) as c (who, command, code, what);
select is(tests.detail('clio', tests.set_command('clio', 'x', tests.recovery(9))), '{"version": 1}', 'who was too late is told the newest');
select is(tests.attempt('clio', format('insert into public.devices (user_id, kind, enc_pub, sig_pub) values (%L, ''recovery'', %L, %L)', tests.id('clio'), tests.key('x'), tests.key('x'))), '42501', 'no recovery device without its key');

-- Admitted, it is on every roster, as 4, and does nothing else.
select tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('rc')::uuid, tests.device('clio')));
select is(tests.min_epochs(), '2 2 1', 'admission retires the epochs that it does not hold');
select is(
  (select m ->> 'role' from jsonb_array_elements(private.expected_roster(tests.session('assisted'))) m where (m ->> 'kid')::uuid = md5('rc')::uuid), '4', 'its role is 4'
);
select tests.act('theo', tests.epoch_command('theo', tests.session('assisted'), md5('consent assisted')::uuid));
select is(role, 4::smallint, 'each new epoch is sealed to it') from public.epoch_wraps where session_id = tests.session('assisted') and epoch = 2 and device_id = md5('rc')::uuid;
select is(tests.attempt('clio', format('select wrap from public.epoch_wraps where device_id = %L', md5('rc')::uuid)), '1', 'its person reads that, on any device');
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 7)), '1', 'the person sends as before');
select is(tests.attempt('clio', replace(command, tests.device('clio')::text, md5('rc')::uuid::text)), 'VG011', what)
from (values
  (tests.message_command('clio', tests.session('assisted'), 7), 'it sends nothing'),
  (format('insert into public.session_consents (session_id, device_id, scope, text_hash, signature) values (%L, %L, ''{analysis}'', %L, %L)',
    tests.session('assisted'), tests.device('clio'), tests.bytes('t', 43), tests.bytes('s', 86)), 'it consents to nothing')
) as c (command, what);
select is(
  tests.attempt('clio', format('select public.create_epoch(%L, 3, %L, ''[]'', %L, %L, %L, %L, ''{}'')', tests.session('assisted'), md5('rc')::uuid, tests.bytes('h', 43), tests.bytes('c', 43), tests.bytes('s', 86), md5('consent assisted')::uuid)),
  'VG011', 'it makes no epoch'
);
update public.devices set revoked_at = now() where id = tests.device('theo');
select is(private.session_waits_for(tests.session('assisted')), jsonb_build_array(tests.id('theo')), 'nobody takes part with a recovery key alone');

-- It vouches for a new device when all others are gone.
select tests.act('clio', 'update public.devices set revoked_at = now() where kind = ''participant''');
select tests.act('clio', format('insert into public.devices (id, enc_pub, sig_pub) values (%L, %L, %L)', md5('found again')::uuid, tests.key('f'), tests.key('f')));
select tests.act('clio', format('insert into public.device_signatures (device_id, by_device_id, signature) values (%L, %L, %L)', md5('found again')::uuid, md5('rc')::uuid, tests.bytes('c', 86)));
select is(tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('found again')::uuid, md5('rc')::uuid)), 'true', 'a recovery key vouches for a new device');

-- Another passphrase, another key. The former passphrase opens nothing any more.
savepoint before_change;
update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('clio');
select is(tests.attempt('clio', format('select public.rewrap_recovery(%L)', tests.recovery(2))), 'VG024', 'a token that was stolen changes none');
rollback to before_change;
select tests.act('clio', format('select public.rewrap_recovery(%L)', tests.recovery(2)));
select is(device_id, md5('rc')::uuid, 'a new passphrase is a version of the same key') from public.recovery_keys where user_id = tests.id('clio') and version = 2;
select is(count(*), 1::bigint, 'in the place of the former') from public.recovery_keys where user_id = tests.id('clio');
select is(tests.attempt('clio', format('select public.rewrap_recovery(%L)', tests.recovery(2))), 'PT409', 'each version once');
select is(tests.attempt('bram', format('select public.rewrap_recovery(%L)', tests.recovery(1))), 'PT404', 'where there is none, there is nothing to put under another');
select is(tests.attempt('theo', format('select public.rewrap_recovery(%L)', tests.recovery(2))), 'PT404', 'nor where it waits');
select tests.act('clio', replace(tests.set_command('clio', 'rc2', tests.recovery(3)), tests.device('clio')::text, md5('found again')::uuid::text));
select is(revoked_at, null, 'a new key takes no place before it is admitted') from public.devices where id = md5('rc')::uuid;
select tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('rc2')::uuid, md5('found again')::uuid));
select results_eq(
  $$select admitted_at is not null, revoked_at is not null from public.devices where kind = 'recovery' and user_id = tests.id('clio') order by id = md5('rc')::uuid desc$$,
  'values (true, true), (true, false)', 'then it takes the former one''s'
);
select is(
  (select string_agg(m ->> 'kid', ',') from jsonb_array_elements(private.expected_roster(tests.session('strict'))) m where m ->> 'role' = '4'), md5('rc2')::uuid::text, 'one is on the roster'
);

-- Garbage pushes nothing out: ten a day, and what a newer one replaced stays for a month. As set_recovery adds them.
grant execute on function private.add_recovery_key(uuid, jsonb) to authenticated;
create function tests.add_command(version int) returns text language sql immutable as $$
  select format('select private.add_recovery_key(%L, %L)', md5('rc2')::uuid, tests.recovery(version))
$$;
select tests.act('clio', tests.add_command(v)) from generate_series(4, 11) v;
select is(tests.attempt('clio', tests.add_command(12)), '23514', 'the eleventh of a day is refused');
select is(count(*), 10::bigint, 'all others are there') from public.recovery_keys where user_id = tests.id('clio');
alter table public.recovery_keys disable trigger a_recovery_key_stands;
update public.recovery_keys set created_at = now() - interval '29 days' where user_id = tests.id('clio');
savepoint a_month;
select tests.act('clio', tests.add_command(12));
select is(count(*), 11::bigint, 'after 29 days too') from public.recovery_keys where user_id = tests.id('clio');
rollback to a_month;
update public.recovery_keys set created_at = now() - interval '31 days' where user_id = tests.id('clio');
select tests.act('clio', tests.add_command(12));
select results_eq('select version from public.recovery_keys where user_id = tests.id(''clio'') order by 1', 'values (8), (9), (10), (11), (12)', 'after a month five are kept');

-- The newest that was written right after signing in is never pushed out by what a token writes.
savepoint five;
update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('clio');
do $$
begin
  for v in 13 .. 18 loop
    update public.recovery_keys set created_at = now() - interval '31 days' where user_id = tests.id('clio');
    perform tests.act('clio', tests.add_command(v));
  end loop;
end
$$;
select results_eq(
  'select version from public.recovery_keys where user_id = tests.id(''clio'') order by 1', 'values (12), (14), (15), (16), (17), (18)', 'the version of the last sign-in stays'
);
update auth.sessions set created_at = now() where id = tests.login('clio');
update public.recovery_keys set created_at = now() - interval '31 days' where user_id = tests.id('clio');
select tests.act('clio', tests.add_command(19));
select results_eq(
  'select version from public.recovery_keys where user_id = tests.id(''clio'') order by 1', 'values (15), (16), (17), (18), (19)', 'until there is one of a later'
);
rollback to five;

-- Removed: only right after signing in, and for good.
select is(tests.attempt(who, 'select public.remove_recovery()'), '42501', who || ' removes none') from unnest(array['anon', 'vigil', 'service_role']) as who;
savepoint before_removal;
update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('clio');
select is(tests.attempt('clio', 'select public.remove_recovery()'), 'VG024', 'a token that was stolen removes none');
rollback to before_removal;
select is(tests.attempt('theo at aal1', 'select public.remove_recovery()'), 'VG024', 'nor do staff without the second factor');
select tests.act('clio', 'select public.remove_recovery()');
select is_empty('select from public.recovery_keys where user_id = tests.id(''clio'')', 'nothing is left of it');
select is(tests.state, 'revoked', 'and its device is revoked') from (select case when revoked_at is not null then 'revoked' end from public.devices where id = md5('rc2')::uuid) as tests (state);
select is(count(*), 1::bigint, 'others keep theirs') from public.recovery_keys;
select is(
  (select string_agg(distinct details ->> 'version', ',' order by details ->> 'version') from public.audit_log where subject_table = 'recovery_keys' and subject_id = md5('rc2')::uuid::text),
  '10,11,12,3,4,5,6,7,8,9', 'each version is in the audit log'
);
select is_empty($$select from public.audit_log where subject_table = 'recovery_keys' and details::text ~ 'wrapped|salt|age1'$$, 'and nothing of what it holds');

select * from finish();
rollback;
