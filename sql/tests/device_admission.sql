-- Which devices take part: the first, those that another vouched for, and after a reset one alone. What a device that waits may not do.
begin;
\ir fixtures/people.sql
select no_plan();

create function tests.register(who text, name text) returns uuid language plpgsql as $$
begin
  perform tests.act(who, format('insert into public.devices (id, enc_pub, sig_pub) values (%L, %L, %L)', md5(name)::uuid, tests.key('enc ' || name), tests.key('sig ' || name)));
  return md5(name)::uuid;
end
$$;
-- What comes of a signature that holds.
create function tests.vouch(who text, device uuid, by_device uuid) returns text language plpgsql as $$
begin
  perform tests.act(who, format('insert into public.device_signatures (device_id, by_device_id, signature) values (%L, %L, %L)', device, by_device, tests.bytes('c', 86)));
  return tests.read('vigil', format('select private.admit_device(%L, %L)::text', device, by_device));
end
$$;
create function tests.state(device uuid) returns text language sql stable as $$
  select concat_ws(' ', coalesce(d.admission, 'waiting'), case when d.revoked_at is not null then 'revoked' end) from public.devices d where d.id = device
$$;
create function tests.min_epochs() returns text language sql stable as $$
  select string_agg(s.min_epoch::text, ' ' order by array_position(array[tests.session('strict'), tests.session('assisted'), tests.session('theirs')], s.id))
  from public.sessions s
$$;

-- The first needs nobody.
select is(tests.state(tests.device('clio')), 'first', 'the first device is admitted');
select is(admitted_at, now(), 'at once') from public.devices where id = tests.device('clio');
select is(tests.state(md5('analysis')::uuid), 'sidecar', 'the sidecar''s is its own');
select tests.register('nobody', 'n1');
select is(tests.state(md5('n1')::uuid), 'first', 'of anybody');
select tests.register('nobody', 'n2');
select is(tests.state(md5('n2')::uuid), 'waiting', 'the second waits');
update public.devices set revoked_at = now() where id = md5('n1')::uuid;
select tests.register('nobody', 'n3');
select is(tests.state(md5('n3')::uuid), 'waiting', 'also when the first is revoked: a stolen token does not become the first');
insert into auth.users (id, email, aud, role) values (md5('late')::uuid, 'late@example.invalid', 'authenticated', 'authenticated');
insert into public.devices (id, user_id, enc_pub, sig_pub) values
  (md5('l1')::uuid, md5('late')::uuid, tests.key('l1'), tests.key('l1')), (md5('l2')::uuid, md5('late')::uuid, tests.key('l2'), tests.key('l2'));
select is(count(*), 1::bigint, 'of two at once, one is the first') from public.devices where user_id = md5('late')::uuid and admission = 'first';
insert into public.devices (id, user_id, enc_pub, sig_pub, admitted_at, admitted_by, admission)
values (md5('claimed')::uuid, tests.id('clio'), tests.key('x'), tests.key('x'), now(), tests.device('clio'), 'signed');
select is(tests.state(md5('claimed')::uuid), 'waiting', 'whatever its writer says, the service role too');
select is(tests.attempt('clio', format('update public.devices set admitted_at = now(), admission = ''first'' where id = %L', md5('claimed')::uuid)), '42501', 'nobody admits themselves');
select is(tests.attempt('vigil', format('update public.devices set admitted_at = now(), admission = ''signed'' where id = %L', md5('claimed')::uuid)), '42501', 'nor does the sidecar but by its function');

-- What waits does nothing, and holds nothing.
select tests.register('clio', 'c2');
select is(tests.attempt('clio', replace(command, tests.device('clio')::text, md5('c2')::uuid::text)), 'VG025', what)
from (values
  (tests.message_command('clio', tests.session('strict'), 7), 'it sends nothing'),
  (replace(tests.epoch_command('clio', tests.session('strict')), tests.device('clio')::text || ''', ''[', tests.device('clio')::text || ''', ''['), 'it makes no epoch'),
  (format('insert into public.session_consents (session_id, device_id, scope, text_hash, signature) values (%L, %L, ''{analysis}'', %L, %L)',
    tests.session('assisted'), tests.device('clio'), tests.bytes('t', 43), tests.bytes('s', 86)), 'it consents to nothing')
) as c (command, what);
select is(
  (select count(*) from jsonb_array_elements(private.expected_roster(tests.session('strict'))) m where (m ->> 'kid')::uuid = md5('c2')::uuid), 0::bigint, 'it is on no roster'
);
select is_empty(
  format($$select * from private.suggestion_seals_of(%L, %L)$$, tests.session('assisted'), jsonb_build_array(jsonb_build_object('device_id', tests.register('theo', 't2')))),
  'nothing is sealed to it'
);
savepoint without_another;
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(private.session_waits_for(tests.session('strict')), jsonb_build_array(tests.id('clio')), 'a person whose only device waits is waited for');
rollback to without_another;
select is(tests.min_epochs(), '1 1 1', 'and it retires nothing');

-- Admitted.
select is(tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('c2')::uuid, tests.device('clio'))), 'false', 'without a signature nothing is admitted');
select is(tests.vouch('clio', md5('c2')::uuid, tests.device('clio')), 'true', 'with one that holds, it is');
select is(tests.state(md5('c2')::uuid), 'signed', 'signed');
select is(admitted_by, tests.device('clio'), 'by the other') from public.devices where id = md5('c2')::uuid;
select is(tests.min_epochs(), '2 2 1', 'the person''s sessions need an epoch that it holds');
select is(tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('c2')::uuid, tests.device('clio'))), 'false', 'once');
select tests.act('clio', tests.epoch_command('clio', tests.session('strict')));
select ok(
  exists (select from public.epoch_wraps where session_id = tests.session('strict') and epoch = 2 and device_id = md5('c2')::uuid and role = 1), 'it has the next one''s key'
);
select is(
  tests.attempt('clio', replace(tests.message_command('clio', tests.session('strict'), 7), tests.device('clio')::text, md5('c2')::uuid::text)), '1', 'and sends'
);
select is(tests.attempt('postgres', format('update public.devices set admitted_at = null, admitted_by = null, admission = null where id = %L', md5('c2')::uuid)), 'VG015', 'an admission stands');
select tests.register('clio', 'c3');
select tests.act('clio', format('insert into public.device_signatures (device_id, by_device_id, signature) values (%L, %L, %L)', md5('c3')::uuid, md5('c2')::uuid, tests.bytes('c', 86)));
savepoint vouched;
update public.devices set revoked_at = now() where id = md5('c2')::uuid;
select is(tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('c3')::uuid, md5('c2')::uuid)), 'false', 'a device that was revoked meanwhile vouches for nothing');
select is_empty('select * from private.devices_to_admit(10)', 'and its signature is not even asked about');
rollback to vouched;
update public.devices set revoked_at = now() where id = md5('c3')::uuid;
select is(tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('c3')::uuid, md5('c2')::uuid)), 'false', 'a device that was revoked meanwhile is not admitted');
select is(tests.attempt('postgres', format('update public.devices set admitted_at = now(), admission = ''signed'', admitted_by = %L where id = %L', tests.device('clio'), md5('c3')::uuid)), 'VG015', 'ever');
rollback to vouched;
select is(tests.read('vigil', format('select private.admit_device(%L, %L)::text', md5('c3')::uuid, md5('c2')::uuid)), 'true', 'one that was vouched for vouches for others');

-- A first device of somebody who takes part already retires the epochs that leave them out.
insert into public.memberships (organization_id, user_id, role) values (tests.organization('birch'), md5('late')::uuid, 'client');
delete from public.devices where user_id = md5('late')::uuid;
insert into public.session_participants (session_id, user_id, organization_id, role) values (tests.session('theirs'), md5('late')::uuid, tests.organization('birch'), 'client');
select is(tests.min_epochs(), '3 2 2', 'somebody who joins retires epochs');
alter table public.session_epochs disable trigger an_epoch_is_checked_before_it_is_made;
insert into public.session_epochs (session_id, epoch, organization_id, device_id, roster, roster_hash, key_commit, consent_id, signature, assisted)
select session_id, 2, organization_id, device_id, roster, roster_hash, key_commit, consent_id, signature, assisted from public.session_epochs where session_id = tests.session('theirs');
insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('l1')::uuid, md5('late')::uuid, tests.key('l1'), tests.key('l1'));
select is(tests.min_epochs(), '3 2 3', 'and so does their first device');

-- Starting anew.
select tests.register('theo', 't3');
savepoint before_reset;
select is(tests.attempt(who, format('select public.reset_devices(%L)', device)), code, what)
from (values
  ('theo', tests.device('theo'), 'VG011', 'a device that is admitted does not start anew'),
  ('theo', tests.device('clio'), 'VG011', 'nor somebody else''s'),
  ('clio', md5('t3')::uuid, 'VG011', 'nor one''s own by somebody else'),
  ('theo', gen_random_uuid(), 'VG011', 'nor none'),
  ('theo at aal1', md5('t3')::uuid, 'VG024', 'staff need the second factor'),
  ('vigil', md5('t3')::uuid, '42501', 'the sidecar starts nothing'),
  ('service_role', md5('t3')::uuid, '42501', 'nor does the service role'),
  ('anon', md5('t3')::uuid, '42501', 'nor nobody'),
  ('theo', md5('t3')::uuid, '1', 'one that waits does')
) as c (who, device, code, what);
update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('theo');
select is(tests.attempt('theo', format('select public.reset_devices(%L)', md5('t3')::uuid)), 'VG024', 'a token that was stolen is older');
rollback to before_reset;
update auth.sessions set created_at = now() - interval '9 minutes' where id = tests.login('theo');
insert into public.devices (id, user_id, kind, enc_pub, sig_pub) values (md5('rt')::uuid, tests.id('theo'), 'recovery', tests.key('rt'), tests.key('rt'));
select tests.admit(md5('rt')::uuid);
select tests.act('theo', format('select public.reset_devices(%L)', md5('t3')::uuid));
select results_eq(
  'select tests.state(id) from public.devices where user_id = tests.id(''theo'') order by 1',
  $$values ('first revoked'), ('reset'), ('signed revoked'), ('waiting revoked')$$, 'all others are revoked, those that waited and the recovery key too'
);
select is(
  (select jsonb_agg(m ->> 'kid') from jsonb_array_elements(private.expected_roster(tests.session('strict'))) m where m ->> 'role' = '2'),
  jsonb_build_array(md5('t3')::uuid), 'it is the person''s one device on the next roster'
);
select is(tests.attempt('theo', format('select public.reset_devices(%L)', md5('t3')::uuid)), 'VG011', 'once');

-- In the audit log of every organisation that the person belongs to, and no other.
select results_eq(
  $$select details ->> 'admission', details ? 'revoked_at', count(*) from public.audit_log
    where subject_table = 'devices' and action = 'update' and details ->> 'user_id' = tests.id('theo')::text group by 1, 2 order by 1, 2$$,
  $$values ('first', true, 1::bigint), ('reset', false, 1), ('signed', false, 1), ('signed', true, 1), (null, true, 1)$$, 'what became of devices is audited'
);
select is_empty(
  $$select from public.audit_log where subject_table = 'devices' and details ->> 'user_id' = tests.id('theo')::text and organization_id <> tests.organization('alder')$$,
  'in no other organisation'
);
select is(tests.read('postgres', 'select private.first_broken_audit(tests.organization(''alder''))::text'), null, 'and the chain holds');
select is(
  (select count(*) from public.audit_log where subject_table = 'devices' and subject_id = md5('c2')::uuid::text and action = 'insert'), 1::bigint, 'a device that is registered is audited'
);
select tests.act('clio', format('update public.devices set label = ''laptop'' where id = %L', md5('c2')::uuid));
select is(
  (select count(*) from public.audit_log where subject_table = 'devices' and subject_id = md5('c2')::uuid::text and action = 'update'), 1::bigint, 'a name is not'
);

-- The migration run again admits nobody; run on what was there before it, everybody who had a device goes on.
savepoint before_migration;
select tests.register('clio', 'c4');
\ir ../migrations/20261124000100_device_admission.sql
select is(tests.state(md5('c4')::uuid), 'waiting', 'the migration run again admits nobody');
delete from public.devices where kind = 'recovery'; -- there was none
alter table public.devices drop column admitted_at cascade, drop column admitted_by cascade, drop column admission cascade, drop column retired_at cascade;
alter table public.devices disable trigger a_device_keeps_its_keys; -- it was another then, that knew of no admission
\ir ../migrations/20261124000100_device_admission.sql
alter table public.devices enable trigger a_device_keeps_its_keys;
select is(tests.state(md5('c4')::uuid), 'first', 'on devices of before it, it admits them');
select is(count(*), 0::bigint, 'all of them, from when they were made') from public.devices where admitted_at is distinct from created_at;
select is(tests.state(md5('analysis')::uuid), 'sidecar', 'the sidecar''s as its own');
select tests.register('clio', 'c5');
select is(tests.state(md5('c5')::uuid), 'waiting', 'the next waits');
rollback to before_migration;
select is(tests.state(md5('c2')::uuid), 'signed', 'and here an admission is what it was');

-- Twenty may wait. One more takes the place of the oldest that nothing vouches for: garbage keeps nobody's own device out.
select tests.register('brook', 'many ' || i) from generate_series(1, 20) i;
update public.devices set created_at = now() - (30 - i) * interval '1 minute' from generate_series(1, 20) i where id = md5('many ' || i)::uuid;
create function tests.vouched(name text, most int) returns bigint language sql as $$
  select count(tests.act('brook', format(
    'insert into public.device_signatures (device_id, by_device_id, signature) values (%L, %L, %L)', md5(name || ' ' || i)::uuid, tests.device('brook'), tests.bytes('c', 86)
  )))
  from generate_series(1, most) i
$$;
select tests.vouched('many', 2);
update public.device_signatures set refused_at = now(), refusal = 'signature' where device_id = md5('many 2')::uuid;
select tests.register('brook', 'one more');
select is(tests.state(md5('one more')::uuid), 'waiting', 'the 21st waits');
select is(
  (select array_agg(i) from generate_series(1, 20) i where tests.state(md5('many ' || i)::uuid) = 'waiting revoked'), array[2],
  'in the place of the oldest that nothing vouches for: a refused signature does not'
);
select is(
  tests.attempt('postgres', format('insert into public.devices (user_id, kind, enc_pub, sig_pub) values (%L, ''recovery'', %L, %L)', tests.id('brook'), tests.key('enc more'), tests.key('sig more'))),
  '1', 'a recovery key waits in the place of another, too'
);
savepoint all_vouched;
update public.devices set revoked_at = now() where user_id = tests.id('brook') and admitted_at is null and revoked_at is null;
select tests.register('brook', 'again ' || i) from generate_series(1, 20) i;
select tests.vouched('again', 20);
select is(
  tests.attempt('brook', format('insert into public.devices (enc_pub, sig_pub) values (%L, %L)', tests.key('enc more'), tests.key('sig more'))), '23514',
  'where each is vouched for, it waits for the sidecar to look'
);
select is(
  tests.attempt('bram', format('insert into public.devices (enc_pub, sig_pub) values (%L, %L)', tests.key('enc more'), tests.key('sig more'))), '1', 'which is nothing to others'
);
rollback to all_vouched;

-- A token that lay about: it ends neither the recovery key, nor the last device that takes part.
insert into public.devices (id, user_id, kind, enc_pub, sig_pub) values (md5('rb')::uuid, tests.id('bram'), 'recovery', tests.key('rb'), tests.key('rb'));
select tests.register('bram', 'b2');
update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('bram');
select is(tests.attempt('bram', format('update public.devices set revoked_at = now() where id = %L', md5('rb')::uuid)), '1', 'a recovery key that waits is revoked by any login');
select is(tests.attempt(who, command), code, what)
from (values
  ('bram', format('update public.devices set revoked_at = now() where id = %L', tests.device('bram')), 'VG024', 'the last device that takes part is not revoked by an old login'),
  ('bram', format('update public.devices set revoked_at = now() where user_id = %L', tests.id('bram')), 'VG024', 'nor all of them'),
  ('bram', format('update public.devices set revoked_at = now() where id = %L', md5('b2')::uuid), '1', 'one that waits is'),
  ('bram', format('update public.devices set label = ''x'' where id = %L', tests.device('bram')), '1', 'and the last one is named'),
  ('postgres', format('update public.devices set revoked_at = now() where id = %L', tests.device('bram')), '1', 'an operator revokes it')
) as c (who, command, code, what);
select tests.admit(md5('rb')::uuid), tests.admit(md5('b2')::uuid);
select is(tests.attempt(who, command), code, what)
from (values
  ('bram', format('update public.devices set revoked_at = now() where id = %L', md5('rb')::uuid), 'VG024', 'the recovery key is not revoked by an old login'),
  ('bram', 'select public.remove_recovery()', 'VG024', 'nor removed'),
  ('bram', format('update public.devices set revoked_at = now() where kind = ''participant'' and user_id = %L', tests.id('bram')), 'VG024', 'two devices at once leave none'),
  ('bram', format('update public.devices set revoked_at = now() where id = %L', tests.device('bram')), '1', 'one of two is')
) as c (who, command, code, what);
select tests.act('bram', format('update public.devices set revoked_at = now() where id = %L', tests.device('bram')));
select is(
  tests.attempt('bram', format('update public.devices set revoked_at = now() where id = %L', md5('b2')::uuid)), 'VG024', 'and then the other is the last: the recovery key takes part in nothing'
);
update auth.sessions set created_at = now() - interval '9 minutes' where id = tests.login('bram');
select is(tests.attempt('bram', format('update public.devices set revoked_at = now() where user_id = %L and revoked_at is null', tests.id('bram'))), '2', 'who signed in just now revokes all');

select * from finish();
rollback;
