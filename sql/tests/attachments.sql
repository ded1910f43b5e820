-- That a file is there: told by who takes part, before it is uploaded; and in the bucket only what was told of, by who told.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

create function tests.attach_command(who text, session text, id uuid, other jsonb default '{}') returns text language sql stable as $$
  select format('insert into public.attachments (id, session_id, device_id, bytes, sha256) select id, session_id, device_id, bytes, sha256
    from jsonb_populate_record(null::public.attachments, %L)', jsonb_build_object(
      'id', $3, 'session_id', tests.session($2), 'device_id', tests.device($1), 'bytes', 5000, 'sha256', tests.bytes('file', 43)) || other)
$$;

select tests.act('clio', tests.attach_command('clio', 'assisted', md5('file')::uuid));
select tests.act('theo', tests.attach_command('theo', 'strict', md5('his file')::uuid));
select * from tests.commands(
  $$ select from public.attachments $$,
  $$ insert into public.attachments (id, session_id, device_id, bytes, sha256) values (gen_random_uuid(), tests.session('assisted'), tests.device('clio'), 16, tests.bytes('f', 43)) $$,
  $$ update public.attachments set bytes = 17 $$,
  $$ delete from public.attachments $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['brook', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['clio', '2', '1', '42501', '42501'],
    array['theo', '2', 'VG011', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['olive', '1', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501']
  ]
);
select * from tests.matrix(array[
  array['clio', tests.attach_command('clio', 'assisted', md5('a')::uuid, '{"bytes": 15}'), '23514'],
  array['clio', tests.attach_command('clio', 'assisted', md5('a')::uuid, '{"bytes": 25000001}'), '23514'],
  array['clio', tests.attach_command('clio', 'assisted', md5('a')::uuid, '{"bytes": 25000000}'), '1'],
  array['clio', tests.attach_command('clio', 'assisted', md5('a')::uuid, '{"sha256": "short"}'), '23514'],
  array['clio', tests.attach_command('clio', 'theirs', md5('a')::uuid), '42501'],
  array['clio', tests.attach_command('clio', 'assisted', md5('file')::uuid), '23505'],
  array['clio', 'insert into public.attachments (id, session_id, device_id, user_id, bytes, sha256) select id, session_id, device_id, user_id, bytes, sha256 from public.attachments', '42501'],
  array['postgres', 'update public.attachments set bytes = 17', 'VG015']
]);
select results_eq(
  $$select organization_id, user_id from public.attachments where id = md5('file')::uuid$$, $$select tests.organization('alder'), tests.id('clio')$$, 'whose it is is set by trigger'
);

-- The bucket.
select is(public::text || ' ' || file_size_limit, 'false 25000000', 'is private, and takes what a row may say') from storage.buckets where id = 'sealed';
create function tests.upload_command(session text, file text, bucket text default 'sealed') returns text language sql immutable as $$
  select format('insert into storage.objects (bucket_id, name) values (%L, %L)', $3, tests.session($1) || '/' || $2)
$$;
select * from tests.matrix(array[
  array['anon', tests.upload_command('assisted', md5('file')::uuid::text), '42501'],
  array['clio', tests.upload_command('assisted', md5('file')::uuid::text), '1'],
  array['theo', tests.upload_command('assisted', md5('file')::uuid::text), '42501'],
  array['theo', tests.upload_command('strict', md5('his file')::uuid::text), '1'],
  array['clio', tests.upload_command('strict', md5('file')::uuid::text), '42501'],
  array['clio', tests.upload_command('assisted', md5('untold')::uuid::text), '42501'],
  array['clio', tests.upload_command('assisted', md5('file')::uuid || '/more'), '42501'],
  array['clio', tests.upload_command('assisted', upper(md5('file')::uuid::text)), '42501'],
  array['clio', 'insert into storage.objects (bucket_id, name) values (''sealed'', ''file'')', '42501'],
  array['clio', tests.upload_command('assisted', md5('file')::uuid::text, 'other'), '42501'],
  array['brook', tests.upload_command('assisted', md5('file')::uuid::text), '42501']
]);
select tests.act('clio', tests.upload_command('assisted', md5('file')::uuid::text));
select * from tests.matrix(array[
  array['anon', 'select from storage.objects', '0'],
  array['nobody', 'select from storage.objects', '0'],
  array['clio', 'select from storage.objects', '1'],
  array['theo', 'select from storage.objects', '1'],
  array['theo at aal1', 'select from storage.objects', '0'],
  array['sunny', 'select from storage.objects', '1'],
  array['olive', 'select from storage.objects', '1'],
  array['ada', 'select from storage.objects', '0'],
  array['brook', 'select from storage.objects', '0'],
  array['clio', 'update storage.objects set name = ''other''', '0'],
  array['clio', 'update storage.objects set bucket_id = null', '0']
]);
set local storage.allow_delete_query = 'true';
select is(tests.attempt('clio', 'delete from storage.objects'), '0', 'nobody removes one: that is erasing');

-- Rights end with the session, a device, a login, a part in it.
select tests.act('clio', tests.attach_command('clio', 'strict', md5('late')::uuid));
update public.sessions set status = 'paused' where id = tests.session('strict');
select * from tests.matrix(array[
  array['clio', tests.attach_command('clio', 'strict', md5('later')::uuid), 'VG002'],
  array['clio', tests.upload_command('strict', md5('late')::uuid::text), '42501']
]);
select tests.act('clio', format('insert into public.devices (id, enc_pub, sig_pub) values (%L, %L, %L)', md5('second')::uuid, tests.key('enc second'), tests.key('sig second')));
select is(tests.attempt('clio', tests.attach_command('clio', 'assisted', md5('b')::uuid, jsonb_build_object('device_id', md5('second')::uuid))), 'VG025', 'a device that waits attaches nothing');
update public.session_participants set ended_at = now() where user_id = tests.id('theo') and session_id = tests.session('assisted');
select is(tests.attempt('theo', 'select from storage.objects'), '1', 'whom an unresolved alert reached reads on');
delete from public.alert_recipients where user_id = tests.id('theo');
select is(tests.attempt('theo', 'select from storage.objects'), '0', 'who has left does not');
delete from auth.sessions where user_id = tests.id('clio');
select is(tests.attempt('clio', 'select from storage.objects'), '0', 'nor who has signed out');

-- So many a day.
insert into auth.sessions (id, user_id, created_at, aal) values (tests.login('clio'), tests.id('clio'), now(), 'aal2');
select tests.act('clio', tests.attach_command('clio', 'assisted', md5('n' || i)::uuid)) from generate_series(1, 198) i;
select is(tests.attempt('clio', tests.attach_command('clio', 'assisted', md5('one more')::uuid)), '23514', 'two hundred files a day are the most');

select * from finish();
rollback;
