-- How a client can be reached: theirs to say, added, corrected and read by the clinicians of their sessions, kept by admins; nothing to the sidecar.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

insert into public.contact_points (organization_id, user_id, kind, value, note) values
  (tests.organization('alder'), tests.id('clio'), 'phone', '0000 000000', 'after six'),
  (tests.organization('birch'), tests.id('brook'), 'phone', '0000 000001', null),
  (tests.organization('alder'), tests.id('theo'), 'email', 'theo@example.invalid', null);

select * from tests.commands(
  $$ select from public.contact_points $$,
  $$ insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('clio'), 'address', '1 Invented Street') $$,
  $$ update public.contact_points set value = 'changed' $$,
  $$ delete from public.contact_points $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '0', '0'],
    array['clio', '1', '1', '1', '1'],
    array['theo at aal1', '0', '42501', '0', '0'],
    array['theo', '2', '1', '2', '1'],
    array['sunny', '1', '1', '1', '0'],
    array['olive', '1', '1', '1', '0'],
    array['ada', '1', '1', '1', '1'],
    array['ada at aal1', '0', '42501', '0', '0'],
    array['bert', '1', '42501', '1', '1'],
    array['brook', '1', '42501', '1', '1'],
    array['bram', '1', '42501', '1', '0'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '42501', '42501', '42501', '42501'],
    array['postgres', '3', '1', '3', '3']
  ]
);

select * from tests.matrix(array[
  array['clio', $$insert into public.contact_points (organization_id, kind, value) values (tests.organization('alder'), 'email', 'clio@example.invalid')$$, '1'],
  array['clio', $$insert into public.contact_points (organization_id, kind, value) values (tests.organization('birch'), 'email', 'clio@example.invalid')$$, '42501'],
  array['clio', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('theo'), 'phone', '1')$$, '42501'],
  array['ada', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('birch'), tests.id('brook'), 'email', 'x')$$, '42501'],
  array['ada', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('brook'), 'email', 'x')$$, '42501'],
  array['ada', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('theo'), 'phone', '1')$$, '42501'],
  array['ada', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('clio'), 'phone', '1')$$, '23505'],
  array['ada', $$update public.contact_points set updated_by = tests.id('clio')$$, '42501'],
  array['olive', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('theo'), 'phone', '1')$$, '42501'],
  array['bram', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('birch'), tests.id('brook'), 'phone', '1')$$, '23505'],
  array['bram', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('birch'), tests.id('bella'), 'phone', '1')$$, '42501'],
  array['clio', $$insert into public.contact_points (organization_id, kind, value) values (tests.organization('alder'), 'pigeon', 'x')$$, '23514'],
  array['clio', $$insert into public.contact_points (organization_id, kind, value) values (tests.organization('alder'), 'other', '')$$, '23514'],
  array['clio', $$insert into public.contact_points (organization_id, kind, value) values (tests.organization('alder'), 'other', repeat('x', 201))$$, '23514'],
  array['clio', $$insert into public.contact_points (organization_id, kind, value, note) values (tests.organization('alder'), 'other', 'x', repeat('x', 201))$$, '23514'],
  array['clio', $$insert into public.contact_points (organization_id, kind, value) values (tests.organization('alder'), 'phone', 'x')$$, '23505'],
  array['clio', $$update public.contact_points set kind = 'email'$$, '42501'],
  array['clio', $$update public.contact_points set updated_by = tests.id('theo')$$, '42501'],
  array['postgres', $$update public.contact_points set kind = 'other'$$, 'VG016']
]);

-- Who wrote it is set, and told; what is in it is not.
select tests.act('theo', $$update public.contact_points set value = '0000 000002' where kind = 'phone'$$);
select is(updated_by, tests.id('theo'), 'it says who wrote it last') from public.contact_points where user_id = tests.id('clio');
select is(
  (select count(*) from public.audit_log where subject_table = 'contact_points' and action = 'update' and actor_id = tests.id('theo')), 1::bigint, 'and so does the audit log'
);
select tests.act('ada', $$insert into public.contact_points (organization_id, user_id, kind, value) values (tests.organization('alder'), tests.id('clio'), 'other', '0000 000003')$$);
select tests.act('ada', $$delete from public.contact_points where kind = 'other'$$);
select results_eq(
  $$select action, subject_id from public.audit_log where subject_table = 'contact_points' and actor_id = tests.id('ada') order by seq$$,
  $$select action, tests.id('clio') || '/other' from (values ('insert'), ('delete')) as a (action)$$, 'of what an admin writes and removes as well'
);
select is_empty($$select from public.audit_log where subject_table = 'contact_points' and details::text ~ '0000|six|example'$$, 'without what it says');
select is_empty($$select from pg_publication_tables where tablename in ('contact_points', 'recovery_keys', 'epoch_wraps')$$, 'nothing of it is on the stream');

-- Whom an alert reached sees it until that is resolved; a membership's end ends it for the person too.
select tests.act('theo', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.attempt('olive', 'select from public.contact_points'), '0', 'no longer on call, no longer told');
select tests.act('ada', 'update public.memberships set ended_at = now() where user_id = tests.id(''clio'')');
select is(tests.attempt('clio', 'select from public.contact_points'), '0', 'who has left reads nothing of it');
delete from public.session_participants where user_id = tests.id('clio');
delete from public.memberships where user_id = tests.id('clio');
select is_empty('select from public.contact_points where user_id = tests.id(''clio'')', 'and it goes with the membership');

select * from finish();
rollback;
