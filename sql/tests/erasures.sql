-- Erasure with a receipt: of a session, of a person. Wraps first; what is left is the receipt and the audit log's tombstones.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
\ir fixtures/suggestion.sql
select no_plan();

create function tests.left_of(session uuid) returns text language sql stable as $$
  select string_agg(n.name || ' ' || n.n, ', ' order by n.name) from (
    select 'wraps' as name, count(*) as n from public.epoch_wraps where session_id = $1
    union all select 'epochs', count(*) from public.session_epochs where session_id = $1
    union all select 'messages', count(*) from public.messages where session_id = $1
    union all select 'arrivals', count(*) from public.message_arrivals where session_id = $1
    union all select 'assessments', count(*) from public.assessments where session_id = $1
    union all select 'alerts', count(*) from public.alerts where session_id = $1
    union all select 'events', count(*) from public.alert_events where session_id = $1
    union all select 'recipients', count(*) from public.alert_recipients where session_id = $1
    union all select 'suggestions', count(*) from public.suggestions where session_id = $1
    union all select 'seals', count(*) from public.suggestion_seals where session_id = $1
    union all select 'consents', count(*) from public.session_consents where session_id = $1
    union all select 'attachments', count(*) from public.attachments where session_id = $1
    union all select 'states', count(*) from public.session_progress where session_id = $1 and (state is not null or topics is not null)
  ) n where n.n > 0
$$;
create function tests.erasure_of(session uuid) returns public.erasures language sql stable as $$
  select e from public.erasures e where e.session_id = $1 order by e.created_at desc limit 1
$$;

-- A file of clio's in the assisted session, and one that no row tells of.
select tests.act('clio', format('insert into public.attachments (id, session_id, device_id, bytes, sha256) values (%L, %L, %L, 16, %L)',
  md5('file')::uuid, tests.session('assisted'), tests.device('clio'), tests.bytes('file', 43)));
insert into storage.objects (bucket_id, name) values
  ('sealed', tests.session('assisted') || '/' || md5('file')::uuid), ('sealed', tests.session('assisted') || '/stray'),
  ('sealed', tests.session('strict') || '/other');
update public.session_progress set state = '{}', topics = '[]';

-- Asking. Nobody writes the table; the session's client asks by an RPC, and an operator carries it out.
select * from tests.commands(
  $$ select from public.erasures $$,
  $$ insert into public.erasures (organization_id, kind, session_id) values (tests.organization('alder'), 'session', tests.session('strict')) $$,
  $$ update public.erasures set status = 'done' $$,
  $$ delete from public.erasures $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['theo', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '0', '42501', '42501', '42501']
  ]
);
select * from tests.matrix(array[
  array['anon', 'select public.request_erasure()', '42501'],
  array['nobody', 'select public.request_erasure()', 'PT404'],
  array['clio', 'select public.request_erasure()', '1'],
  array['clio', format('select public.request_erasure(null, %L)', tests.organization('birch')), 'PT404'],
  array['clio', format('select public.request_erasure(%L)', tests.session('assisted')), '1'],
  array['theo', format('select public.request_erasure(%L)', tests.session('assisted')), 'PT404'],
  array['brook', format('select public.request_erasure(%L)', tests.session('assisted')), 'PT404'],
  array['clio', format('select public.erase_session(%L)', tests.session('assisted')), '42501'],
  array['ada', format('select public.erase_person(%L, %L)', tests.organization('alder'), tests.id('clio')), '42501'],
  array['vigil', format('select private.erase_session(%L)', tests.session('assisted')), '42501'],
  array['theo', format('select public.settle_erasure(%L, 0)', md5('nothing')::uuid), '42501'],
  array['clio', format('select public.objects_of_erasure(%L)', md5('nothing')::uuid), '42501'],
  array['service_role', format('select public.erase_session(%L)', md5('nothing')::uuid), 'PT404'],
  array['service_role', format('select public.erase_person(%L, %L)', tests.organization('birch'), tests.id('clio')), 'PT404'],
  array['service_role', format('select public.settle_erasure(%L, 0)', md5('nothing')::uuid), 'PT404']
]);
update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('clio');
select is(tests.attempt('clio', command), 'VG024', 'a token that was stolen asks for none')
from (values ('select public.request_erasure()'), (format('select public.request_erasure(%L)', tests.session('assisted')))) as c (command);
update auth.sessions set created_at = now() where id = tests.login('clio');
select tests.act('clio', format('select public.request_erasure(%L)', tests.session('assisted')));
select is(
  tests.read('clio', format('select (public.request_erasure(%L)).id', tests.session('assisted'))), (tests.erasure_of(tests.session('assisted'))).id::text,
  'asking again gives the one that is under way'
);
select is(count(*), 1::bigint, 'one receipt') from public.erasures;
select is((tests.erasure_of(tests.session('assisted'))).status, 'requested', 'requested: nothing is erased yet');
select isnt(tests.left_of(tests.session('assisted')), null, 'all is there');
select is(
  tests.attempt('service_role', format('select public.settle_erasure(%L, 0)', (tests.erasure_of(tests.session('assisted'))).id)), 'PT409', 'and cannot be called done'
);
select * from tests.matrix(array[
  array['clio', 'select from public.erasures', '1'], array['theo', 'select from public.erasures', '1'], array['ada', 'select from public.erasures', '1'],
  array['theo at aal1', 'select from public.erasures', '0'], array['brook', 'select from public.erasures', '0'], array['bert', 'select from public.erasures', '0'],
  array['vigil', 'select from public.erasures', '42501']
]);

-- Shredding.
select tests.act('service_role', format('select public.erase_session(%L)', tests.session('assisted')));
select is(tests.left_of(tests.session('assisted')), null, 'nothing is left: no wrap, no epoch, no message, nothing derived');
select is(tests.left_of(tests.session('strict')), 'arrivals 1, epochs 1, messages 1, states 1, wraps 2', 'and nothing else is touched');
select results_eq(
  format($$select status, counts, objects_left, people, requested_by from public.erasures where session_id = %L$$, tests.session('assisted')),
  format($$select 'shredded', '{"wraps": 3, "epochs": 1, "messages": 1, "assessments": 1, "alerts": 1, "suggestions": 1, "scores": 0, "readers": 0, "attachments": 1, "consents": 1, "objects": 2}'::jsonb,
    2, array(select x from unnest(array[%L, %L]::uuid[]) x order by 1), %1$L::uuid$$, tests.id('clio'), tests.id('theo')),
  'the receipt counts what was destroyed, and remembers who asked'
);
select is(
  (select l.action || ' ' || (l.hash = e.audit_hash) || ' ' || (l.details -> 'counts' = e.counts) from public.audit_log l where l.organization_id = e.organization_id and l.seq = e.audit_seq),
  'shred true true', 'and names its entry in the audit log'
) from public.erasures e where e.session_id = tests.session('assisted');
select cmp_ok(
  (select min(seq) from public.audit_log where subject_table = 'epoch_wraps'), '<', (select min(seq) from public.audit_log where subject_table = 'messages'),
  'the wraps went first'
);
select is((select status from public.sessions where id = tests.session('assisted')), 'ended', 'the session''s row still says that there was one');
select * from tests.matrix(array[
  array['clio', tests.message_command('clio', tests.session('assisted'), 5, 1), 'VG002'],
  array['theo', format('select public.create_epoch(%L, 1, %L, ''[]'', %L, %L, %L, null, ''{}'')', tests.session('assisted'), tests.device('theo'),
    tests.bytes('r', 43), tests.bytes('c', 43), tests.bytes('s', 86)), 'VG002'],
  array['clio', format('insert into public.attachments (id, session_id, device_id, bytes, sha256) values (gen_random_uuid(), %L, %L, 16, %L)',
    tests.session('assisted'), tests.device('clio'), tests.bytes('f', 43)), 'VG002'],
  array['theo', 'select from public.erasures', '1'],
  array['brook', 'select from public.erasures', '0']
]);
select tests.act('service_role', format('select public.erase_session(%L)', tests.session('assisted')));
select is((tests.erasure_of(tests.session('assisted'))).counts ->> 'messages', '1', 'erasing twice changes no receipt');

-- Files: settled when Storage has none left, whatever the caller says.
select is(
  tests.read('service_role', format('select string_agg(o, '' '') from public.objects_of_erasure(%L) o', (tests.erasure_of(tests.session('assisted'))).id)),
  (select string_agg(tests.session('assisted') || '/' || n, ' ' order by n) from unnest(array[md5('file')::uuid::text, 'stray']) n),
  'its objects are found where they are, told of or not'
);
select tests.act('service_role', format('select public.settle_erasure(%L, 0)', (tests.erasure_of(tests.session('assisted'))).id));
select is((tests.erasure_of(tests.session('assisted'))).status || ' ' || (tests.erasure_of(tests.session('assisted'))).objects_left, 'shredded 2', 'not done while files are there');
set local storage.allow_delete_query = 'true';
delete from storage.objects where name = tests.session('assisted') || '/stray';
select tests.act('service_role', format('select public.settle_erasure(%L, 1)', (tests.erasure_of(tests.session('assisted'))).id));
select is((tests.erasure_of(tests.session('assisted'))).objects_left, 1, 'one is left');
delete from storage.objects where name like tests.session('assisted') || '/%';
select tests.act('service_role', format('select public.settle_erasure(%L, 1)', (tests.erasure_of(tests.session('assisted'))).id));
select is((tests.erasure_of(tests.session('assisted'))).status, 'shredded', 'nor while the caller says that one could not be removed');
select tests.act('service_role', format('select public.settle_erasure(%L, 0)', (tests.erasure_of(tests.session('assisted'))).id));
select is((tests.erasure_of(tests.session('assisted'))).status, 'done', 'done');
select isnt((tests.erasure_of(tests.session('assisted'))).done_at, null, 'and when');
select is(count(*), 0::bigint, 'the session''s row is gone') from public.sessions where id = tests.session('assisted');
select is(count(*), 0::bigint, 'and who took part') from public.session_participants where session_id = tests.session('assisted');
select tests.act('service_role', format('select public.settle_erasure(%L, 0)', (tests.erasure_of(tests.session('assisted'))).id));
select is((select count(*) from public.audit_log where subject_table = 'erasures'), 3::bigint, 'request, shred, settle: an entry each');
select is(private.first_broken_audit(tests.organization('alder')), null, 'and the chain is whole');
select * from tests.matrix(array[
  array['clio', 'select from public.erasures', '1'], array['theo', 'select from public.erasures', '1'], array['brook', 'select from public.erasures', '0'],
  array['postgres', 'update public.erasures set counts = ''{}''', 'VG015'], array['postgres', 'delete from public.erasures', 'VG015'],
  array['postgres', 'update public.erasures set status = ''requested''', 'VG015']
]);

-- A person: here the client of one session that is left, and of another practice, too.
insert into public.memberships (organization_id, user_id, role) values (tests.organization('birch'), tests.id('clio'), 'client');
insert into public.contact_points (organization_id, user_id, kind, value) values
  (tests.organization('alder'), tests.id('clio'), 'phone', '+00 000'), (tests.organization('birch'), tests.id('clio'), 'phone', '+00 000');
update public.devices set label = 'a phone' where user_id = tests.id('clio');
select is(tests.attempt('clio', 'select public.request_erasure()'), 'PT404', 'who belongs to two practices names one');
select tests.act('clio', format('select public.request_erasure(null, %L)', tests.organization('alder')));
select tests.act('service_role', format('select public.erase_person(%L, %L)', tests.organization('alder'), tests.id('clio')));
select is(tests.left_of(tests.session('strict')), null, 'their sessions are shredded');
select results_eq(
  format($$select kind, status, counts ->> 'sessions', counts ->> 'messages', counts ->> 'wraps', counts ->> 'contact_points', counts ->> 'devices', objects_left
    from public.erasures where person_id = %L$$, tests.id('clio')),
  $$values ('person', 'shredded', '1', '1', '2', '1', '0', 1)$$, 'one receipt for the person'
);
select is(
  (select part.status from public.erasures part join public.erasures whole on whole.id = part.part_of where part.session_id = tests.session('strict')), 'shredded',
  'and one for each session, so that its people hear of it'
);
select isnt(ended_at, null, 'the membership is ended') from public.memberships where user_id = tests.id('clio') and organization_id = tests.organization('alder');
select is(count(*), 1::bigint, 'the other practice can still reach them') from public.contact_points where user_id = tests.id('clio');
select is(revoked_at, null, 'and they keep their device') from public.devices where id = tests.device('clio');
select is(count(*), 1::bigint, 'and name') from public.profiles where user_id = tests.id('clio');

select tests.act('service_role', format('select public.erase_person(%L, %L)', tests.organization('birch'), tests.id('clio')));
select is(count(*), 0::bigint, 'the last practice takes the name') from public.profiles where user_id = tests.id('clio');
select is(count(*), 0::bigint, 'how to reach them') from public.contact_points where user_id = tests.id('clio');
select is((revoked_at is not null)::text || coalesce(label, ''), 'true', 'and revokes the device, which loses its label') from public.devices where id = tests.device('clio');
delete from storage.objects;
select tests.act('service_role', format('select public.settle_erasure(%L, 0)', e.id)) from public.erasures e where e.person_id = tests.id('clio') and e.organization_id = tests.organization('alder');
select is(count(*), 0::bigint, 'all are done with the person''s') from public.erasures where organization_id = tests.organization('alder') and status <> 'done';
select is(count(*), 0::bigint, 'no session of theirs is left') from public.session_participants where user_id = tests.id('clio');
select is(count(*), 0::bigint, 'nor a device that nothing names') from public.devices where id = tests.device('clio');
select tests.act('service_role', format('select public.settle_erasure(%L, 0)', e.id)) from public.erasures e where e.person_id = tests.id('clio') and e.organization_id = tests.organization('birch');
select lives_ok(format('delete from auth.users where id = %L', tests.id('clio')), 'so that the login can be deleted');
select is(count(*), 0::bigint, 'the chains hold') from public.organizations o where private.first_broken_audit(o.id) is not null;

-- Staff: what they did stays with the sessions it was done in.
select tests.act('service_role', format('select public.erase_person(%L, %L)', tests.organization('birch'), tests.id('bram')));
select is(
  tests.left_of(tests.session('theirs')), 'alerts 1, assessments 1, consents 1, epochs 1, events 1, messages 1, recipients 2, seals 1, states 1, suggestions 1, wraps 2', 'a therapist''s erasure erases no client''s session'
);
select is(count(*), 0::bigint, 'but their keys to it') from public.epoch_wraps where device_id = tests.device('bram');
select is(counts ->> 'wraps_elsewhere', '1', 'which the receipt counts') from public.erasures where person_id = tests.id('bram');
select is((revoked_at is not null)::text, 'true', 'but revokes their devices') from public.devices where id = tests.device('bram');
select cmp_ok(min_epoch, '>', 1, 'and retires the epochs that they hold') from public.sessions where id = tests.session('theirs');
select tests.act('service_role', format('select public.settle_erasure(%L, 0)', e.id)) from public.erasures e where e.person_id = tests.id('bram');
select is(count(*), 1::bigint, 'their public key stays: an epoch names it') from public.devices where id = tests.device('bram');
select is(private.first_broken_audit(tests.organization('birch')), null, 'and the chain is whole');

select * from finish();
rollback;
