-- Clinicians read; nobody writes but by the RPCs (suggestion_rpcs.sql) and private.record_suggestion (suggestion_record.sql).
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
\ir fixtures/suggestion.sql
select no_plan();

select * from tests.commands(
  $$ select from public.suggestions $$,
  $$ insert into public.suggestions (organization_id, session_id, message_id, requested_by, status, reason) values (tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), tests.id('theo'), 'not_made', 'busy') $$,
  $$ update public.suggestions set status = 'withdrawn' $$,
  $$ delete from public.suggestions $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['sunny at aal1', '0', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['olive', '1', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['postgres', '2', '1', '2', '2']
  ]
);

-- What a row may be.
create function tests.suggestion_row(columns text, value text) returns text language sql stable as $$
  select format(
    'insert into public.suggestions (organization_id, session_id, message_id, %s) values (%L, %L, %L, %s)', columns,
    tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), value
  )
$$;
select is(tests.attempt('postgres', tests.suggestion_row(columns, value)), code, what)
from (values
  ('status', $$'requested'$$, '23514', 'a request is somebody''s'),
  ('requested_by, status', $$tests.id('theo'), 'sent'$$, '23514', 'no other status'),
  ('requested_by, status', $$tests.id('theo'), 'not_made'$$, '23514', 'what is not made says why'),
  ('requested_by, status, reason', $$tests.id('theo'), 'not_made', 'the client wrote of …'$$, '23514', 'in one of few words'),
  ('requested_by, status, reason', $$tests.id('theo'), 'withdrawn', 'busy'$$, '23514', 'and nothing else does'),
  ('requested_by, status, source', $$tests.id('theo'), 'withdrawn', 'bank'$$, '23514', 'the bank''s has a move'),
  ('requested_by, status, source', $$tests.id('theo'), 'withdrawn', 'model'$$, '23514', 'a model''s names it'),
  ('requested_by, status, source, move, bank_version', $$tests.id('theo'), 'withdrawn', 'bank', 'Try to breathe out', '1'$$, '23514', 'a move is an id, not its text'),
  ('requested_by, status, decided_by, decided_at', $$tests.id('theo'), 'withdrawn', tests.id('theo'), now()$$, '23514', 'only a decision was decided'),
  ('requested_by, status', $$tests.id('theo'), 'requested'$$, '23505', 'one is open for a message'),
  ('status, reason', $$'not_made', 'busy'$$, '23505', 'and one unasked'),
  ('requested_by, status', $$tests.id('theo'), 'withdrawn'$$, '1', 'what has ended stands in nobody''s way')
) as r (columns, value, code, what);
select is(
  tests.attempt('postgres', format('insert into public.suggestions (organization_id, session_id, message_id, requested_by, status) values (%L, %L, %L, %L, %L)',
    tests.organization('birch'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0), tests.id('theo'), 'withdrawn')),
  '23503', 'a suggestion is its session''s organisation''s'
);

-- Its life: an offered one changes once, and an operator may do no more with it.
select is(tests.attempt('postgres', 'update public.suggestions set ' || change), code, change)
from (values
  ('status = ''requested'', requested_by = tests.id(''theo'')', 'VG015'), ('status = ''not_made'', reason = ''busy''', 'VG015'),
  ('message_id = gen_random_uuid()', 'VG015'), ('session_id = gen_random_uuid()', 'VG015'), ('version = 7', 'VG015'), ('status = status', '2'),
  ('requested_by = tests.id(''theo'')', 'VG015'), ('move = ''other''', 'VG015'), ('sent_message_id = message_id', 'VG015'),
  ('status = ''accepted'', decided_by = tests.id(''theo''), decided_at = now()', '2'), ('status = ''withdrawn'', version = 7', '2')
) as u (change, code);
savepoint offered;
update public.suggestions set status = 'withdrawn', version = 7;
select is(array_agg(distinct version), '{2}', 'the version is the database''s') from public.suggestions;
select is(tests.attempt('postgres', 'update public.suggestions set status = ''offered'''), 'VG015', 'what has ended stays so');
rollback to offered;

-- Access ends with what gave it.
update public.memberships set ended_at = now() where user_id in (tests.id('theo'), tests.id('sunny'));
select is(tests.attempt('theo', 'select from public.suggestions'), '0', 'membership ended: therapist');
select is(tests.attempt('sunny', 'select from public.suggestions'), '0', 'membership ended: supervisor');
select is(tests.attempt('theo', 'select from public.suggestion_seals'), '0', 'not the sealed text either');
rollback to offered;
delete from auth.sessions where user_id = tests.id('theo');
select is(tests.attempt('theo', 'select from public.suggestions'), '0', 'signed out');
rollback to offered;
select tests.act('theo', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.attempt('olive', 'select from public.suggestions'), '0', 'on call: no more once the alert is resolved');
update public.session_participants set ended_at = now() where user_id = tests.id('theo');
select is(tests.attempt('theo', 'select from public.suggestions'), '0', 'participant ended, and no alert open that reached them');

select * from finish();
rollback;
