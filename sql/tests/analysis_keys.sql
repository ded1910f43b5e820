-- The sidecar's keys: a new one takes the old one's place in new epochs, the old one opens what it holds, and is destroyed when nothing needs it.
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.first_key() returns uuid language sql immutable as $$ select md5('analysis')::uuid $$;
create function tests.next_key() returns uuid language sql immutable as $$ select md5('analysis 2')::uuid $$;

-- Nobody but the sidecar, and the operator.
select * from tests.matrix(array[
  array['anon', 'select private.analysis_keys()', '42501'],
  array['clio', 'select private.analysis_keys()', '42501'],
  array['ada', format('select private.retire_analysis_device(%L)', tests.first_key()), '42501'],
  array['theo', format('select private.destroy_analysis_device(%L)', tests.first_key()), '42501'],
  array['service_role', format('select private.destroy_analysis_device(%L)', tests.first_key()), '42501'],
  array['ada', 'select private.retire_epochs_of_retired_keys(null, 9)', '42501'],
  array['service_role', 'select private.retire_epochs_of_retired_keys(null, 9)', '42501'],
  array['vigil', 'update public.devices set retired_at = now()', '42501'],
  array['vigil', format('select private.retire_analysis_device(%L)', tests.first_key()), 'VG027'],
  array['vigil', format('select private.retire_analysis_device(%L)', tests.device('clio')), 'PT404'],
  array['vigil', format('select private.destroy_analysis_device(%L)', md5('nothing')::uuid), 'PT404']
]);
select is(tests.read('vigil', format('select private.destroy_analysis_device(%L)', tests.first_key())), 'false', 'a key in use is not destroyed');
select throws_ok(
  format('update public.devices set retired_at = now() where id = %L', tests.device('clio')), '23514', null, 'only the sidecar''s keys are retired'
);

-- A second key, registered later, is the one that new epochs have.
select tests.act('vigil', format('select private.register_analysis_device(%L, %L, %L)', tests.next_key(), tests.key('enc analysis 2'), tests.key('sig analysis 2')));
select is(id, tests.next_key(), 'the newest key is for new epochs') from private.analysis_device();
select is(
  tests.read('vigil', 'select string_agg(k.id || '' '' || k.needed, '','' order by k.created_at desc) from private.analysis_keys() k'),
  tests.next_key() || ' true,' || tests.first_key() || ' true', 'both are listed, the newest first'
);

-- The earlier one vouches for it: by the sidecar alone, once, and everybody signed in may verify it.
create function tests.vouch(key uuid, seed text, by_key uuid) returns text language sql as $$
  select format('select private.register_analysis_device(%L, %L, %L, %L, %L)', key, tests.key('enc ' || seed), tests.key('sig ' || seed), by_key, tests.bytes('vouch', 86))
$$;
create function tests.vouched() returns bigint language sql as $$ select count(*) from public.device_signatures where user_id is null $$;
select * from tests.matrix(array[
  array['clio', tests.vouch(tests.next_key(), 'analysis 2', tests.first_key()), '42501'],
  array['service_role', tests.vouch(tests.next_key(), 'analysis 2', tests.first_key()), '42501'],
  array['clio', format('insert into public.device_signatures (device_id, user_id, by_device_id, signature) values (%L, null, %L, %L)', tests.next_key(), tests.first_key(), tests.bytes('s', 86)), '42501'],
  array['clio', format('insert into public.device_signatures (device_id, by_device_id, signature) values (%L, %L, %L)', tests.next_key(), tests.device('clio'), tests.bytes('s', 86)), 'VG011'],
  array['vigil', format('insert into public.device_signatures (device_id, user_id, by_device_id, signature) values (%L, null, %L, %L)', tests.next_key(), tests.first_key(), tests.bytes('s', 86)), '42501'],
  array['vigil', tests.vouch(tests.next_key(), 'other keys', tests.first_key()), 'VG017'],
  array['vigil', tests.vouch(tests.next_key(), 'analysis 2', tests.first_key()) || '; select from public.device_signatures', '1']
]);
select tests.act('vigil', tests.vouch(tests.next_key(), 'analysis 2', tests.device('clio')));
select tests.act('vigil', tests.vouch(tests.first_key(), 'analysis', tests.next_key()));
select is(tests.vouched(), 0::bigint, 'no person''s device vouches for a key, nor a later key for an earlier one');
savepoint before_revocation;
update public.devices set revoked_at = now() where id = tests.first_key();
select tests.act('vigil', tests.vouch(tests.next_key(), 'analysis 2', tests.first_key()));
select is(tests.vouched(), 0::bigint, 'nor a revoked one');
rollback to before_revocation;
select tests.act('vigil', tests.vouch(tests.next_key(), 'analysis 2', tests.first_key()));
select tests.act('vigil', tests.vouch(tests.next_key(), 'analysis 2', tests.first_key()));
select is(tests.vouched(), 1::bigint, 'the earlier one does, once');
select is(tests.attempt('brook', 'select from public.device_signatures where user_id is null'), '1', 'everybody signed in reads it');
select is(tests.attempt('anon', 'select from public.device_signatures where user_id is null'), '42501', 'and nobody else');
select is(
  (select count(*) from public.audit_log where subject_table = 'devices' and action = 'vouch' and subject_id = tests.next_key()::text), 2::bigint, 'each organisation''s log says so'
);
select is_empty('select private.devices_to_admit(9)', 'there is nothing to admit');

-- Retiring: sessions that use the key make their next epoch, without it, page by page.
select is(min_epoch, 1, 'until then epoch 1 may be used') from public.sessions where id = tests.session('assisted');
select tests.act('vigil', format('select private.retire_analysis_device(%L)', tests.first_key()));
select isnt(retired_at, null, 'retired') from public.devices where id = tests.first_key();
select is(revoked_at, null, 'and not revoked: it still opens what it holds') from public.devices where id = tests.first_key();
select is(tests.read('vigil', format('select retired_at is not null from public.devices where id = %L', tests.first_key())), 'true', 'new epochs leave it out at once');
select is(
  tests.read('vigil', 'select (last is not null) || '' '' || busy from private.retire_epochs_of_retired_keys(null, 1)'), 'true 0', 'one session at a time'
);
select is(count(*), 1::bigint, 'is one session') from public.sessions where min_epoch = 2;
select is(
  tests.read('vigil', format('select coalesce(last::text, ''-'') || busy from private.retire_epochs_of_retired_keys(%L, 9)', '00000000-0000-0000-0000-000000000000')),
  '-0', 'and then all the others'
);
select is_empty('select private.on_retired_keys()', 'none is left');
select results_eq(
  'select s.id, s.min_epoch from public.sessions s order by s.min_epoch, s.id',
  $$select tests.session(n), e from (values ('strict', 1), ('assisted', 2), ('theirs', 2)) x (n, e) order by 2, 1$$,
  'retires the epochs that have the key, and no strict one'
);
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 1)), 'VG010', 'no message is sent under them');
select is(
  (select count(*) from public.audit_log where subject_table = 'devices' and action = 'retire' and actor_kind = 'operator' and subject_id = tests.first_key()::text),
  2::bigint, 'each organisation''s log says so'
);
select tests.act('vigil', format('select private.retire_analysis_device(%L)', tests.first_key()));
select is(
  (select count(*) from public.audit_log where subject_table = 'devices' and action = 'retire'), 2::bigint, 'retiring twice is no error, and no entry'
);
select is(tests.attempt('vigil', format('select private.retire_analysis_device(%L)', tests.next_key())), 'VG027', 'the last one is not retired');
select is(tests.attempt('postgres', format('update public.devices set retired_at = null where id = %L', tests.first_key())), 'VG015', 'a retired key stays retired');
select is(
  tests.attempt('vigil', format('select private.register_analysis_device(%L, %L, %L)', tests.first_key(), tests.key('enc analysis'), tests.key('sig analysis'))),
  '1', 'a sidecar that still has its file starts with it'
);

select tests.act('theo', tests.epoch_command('theo', tests.session('assisted'), md5('consent assisted')::uuid));
select set_eq(
  format('select device_id from public.epoch_wraps where session_id = %L and epoch = 2 and role = 9', tests.session('assisted')),
  array[tests.next_key()], 'the next epoch has the new key, and not the old one'
);
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 1)), '1', 'and goes on');

-- Needed while a session that has it goes on, while the sidecar is behind, and for `keep` after.
select is(private.analysis_key_needed(tests.first_key(), interval '0'), true, 'needed while its sessions go on');
update public.sessions set status = 'ended' where mode = 'assisted';
select is(private.analysis_key_needed(tests.first_key(), interval '0'), true, 'needed while a message of theirs is not assessed');
update public.session_progress p set assessed_position = c.last_assisted_position from public.session_counters c where c.session_id = p.session_id;
select is(private.analysis_key_needed(tests.first_key(), interval '1 hour'), true, 'needed for a while after');
select is(tests.read('vigil', format('select private.destroy_analysis_device(%L, interval ''1 hour'')', tests.first_key())), 'false', 'so it is not destroyed');
select is(
  tests.read('vigil', 'select string_agg(k.needed::text, '','' order by k.created_at desc) from private.analysis_keys(interval ''1 hour'') k'), 'true,true', 'and the list says so'
);
update public.sessions set ended_at = now() - interval '1 hour' where mode = 'assisted';
select is(private.analysis_key_needed(tests.first_key(), interval '1 hour'), false, 'and then no more');
select is(
  tests.read('vigil', 'select string_agg(k.needed::text, '','' order by k.created_at desc) from private.analysis_keys(interval ''1 hour'') k'), 'true,false',
  'the one for new epochs is needed whoever holds it'
);

select tests.act('vigil', format('select private.destroy_analysis_device(%L, interval ''1 hour'')', tests.first_key()));
select isnt(revoked_at, null, 'a destroyed key is revoked') from public.devices where id = tests.first_key();
select is(tests.read('vigil', format('select private.destroy_analysis_device(%L, interval ''1 hour'')', tests.first_key())), 'true', 'once destroyed is destroyed');
select is((select count(*) from public.audit_log where subject_table = 'devices' and action = 'destroy'), 2::bigint, 'once in each log');
select is(
  tests.attempt('vigil', format('select private.register_analysis_device(%L, %L, %L)', tests.first_key(), tests.key('enc analysis'), tests.key('sig analysis'))),
  'VG017', 'and is not registered again'
);
select is(tests.read('vigil', format('select private.destroy_analysis_device(%L, interval ''0'')', tests.next_key())), 'false', 'a key that is not retired is not destroyed');
select is(count(*), 0::bigint, 'the chains hold') from public.organizations o where private.first_broken_audit(o.id) is not null;

-- A plain update by an operator has the same consequences, as the sidecar comes by.
select tests.act('vigil', format('select private.register_analysis_device(%L, %L, %L)', md5('analysis 3')::uuid, tests.key('enc analysis 3'), tests.key('sig analysis 3')));
insert into public.sessions (id, organization_id, mode) values (tests.session('later'), tests.organization('alder'), 'assisted');
insert into public.session_participants (session_id, user_id, organization_id, role) values
  (tests.session('later'), tests.id('clio'), tests.organization('alder'), 'client'), (tests.session('later'), tests.id('theo'), tests.organization('alder'), 'therapist');
select tests.act('clio', format(
  'insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (%L, %L, %L, %L, %L, %L)',
  md5('consent later')::uuid, tests.session('later'), tests.device('clio'), '{analysis}', tests.bytes('text', 43), tests.bytes('consent', 86)
));
select tests.act('clio', tests.epoch_command('clio', tests.session('later'), md5('consent later')::uuid));
select tests.act('postgres', format('update public.devices set retired_at = now() where id = %L', md5('analysis 3')::uuid));
select tests.act('vigil', 'select private.retire_epochs_of_retired_keys(null, 9)');
select is(min_epoch, 2, 'retired by plain SQL, its epochs are retired too') from public.sessions where id = tests.session('later');

-- Revoked within the hour, what it opens is still found: an epoch may have been under way. One that was revoked without retiring has no such time.
select tests.act('clio', tests.epoch_command('clio', tests.session('later'), md5('consent later')::uuid));
update public.epoch_wraps set device_id = md5('analysis 3')::uuid where session_id = tests.session('later') and epoch = 2 and role = 9;
update public.devices set revoked_at = now() where id = md5('analysis 3')::uuid;
select is(min_epoch, 3, 'revoking a retired key retires what it opens, too') from public.sessions where id = tests.session('later');
select tests.act('clio', tests.epoch_command('clio', tests.session('later'), md5('consent later')::uuid));
update public.epoch_wraps set device_id = md5('analysis 3')::uuid where session_id = tests.session('later') and epoch = 3 and role = 9;
select set_eq('select private.on_retired_keys()', array[tests.session('later')], 'and the next pass finds what was missed');

select * from finish();
rollback;
