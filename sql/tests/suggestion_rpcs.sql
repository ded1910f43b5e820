-- request_suggestion and decide_suggestion: who may, when, and what comes of it.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

create function tests.ask(session text default 'assisted') returns text language sql stable as $$
  select format('select public.request_suggestion(%L)', tests.session(session))
$$;

-- Off, as it is at first.
select is(tests.attempt('theo', tests.ask()), 'VG019', 'off: refused');
select is(tests.detail('theo', tests.ask()), '{"suggestions": "off"}', 'and told so');
\ir fixtures/suggestion.sql
select tests.act('theo', tests.message_command('theo', tests.session('assisted'), 0));
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 1));

-- Who may ask.
select * from tests.matrix(array[
  array['anon', tests.ask(), '42501'],
  array['service_role', tests.ask(), '42501'],
  array['vigil', tests.ask(), '42501'],
  array['nobody', tests.ask(), 'PT404'],
  array['ada', tests.ask(), 'PT404'],
  array['bram', tests.ask(), 'PT404'],
  array['theo at aal1', tests.ask(), 'PT404'],
  array['clio', tests.ask(), '42501'],
  array['sunny', tests.ask(), '42501'],
  array['olive', tests.ask(), '42501'],
  array['theo', 'select public.request_suggestion(gen_random_uuid())', 'PT404'],
  array['theo', 'select public.request_suggestion(null)', 'PT404'],
  array['theo', tests.ask('strict'), 'VG020'],
  array['theo', tests.ask(), '1']
]);
select is(tests.detail('theo', tests.ask('strict')), '{"mode": "strict"}', 'nothing is read in a strict session');
savepoint asking;
update public.session_participants set ended_at = now() where user_id = tests.id('theo');
select is(tests.attempt('theo', tests.ask()), '42501', 'who takes part no more, and sees the session because an alert reached them');
rollback to asking;
update public.organizations set require_aal2 = false;
select is(tests.attempt('theo at aal1', tests.ask()), '1', 'an organisation may do without the second factor');
rollback to asking;
update public.sessions set status = 'ended' where id = tests.session('assisted');
select is(tests.attempt('theo', tests.ask()), 'VG002', 'an ended session');
select is(tests.detail('theo', tests.ask()), '{"status": "ended"}', 'which says so');
rollback to asking;
update public.sessions set status = 'paused' where id = tests.session('assisted');
select is(tests.attempt('theo', tests.ask()), '1', 'a paused one is not over');
rollback to asking;
delete from public.messages where sender_id = tests.id('clio') and session_id = tests.session('assisted');
select is(tests.attempt('theo', tests.ask()), 'VG021', 'the client has sent nothing: the therapist''s own is not to be answered');
rollback to asking;
update public.sessions set mode = 'strict' where id = tests.session('assisted');
select tests.act('clio', tests.epoch_command('clio', tests.session('assisted')));
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 2));
update public.sessions set mode = 'assisted' where id = tests.session('assisted');
select is(tests.attempt('theo', tests.ask()), 'VG020', 'the client''s last message was sent unread');
rollback to asking;

-- What one gets.
select is(
  tests.read('theo', format('select concat_ws('' '', r.status, r.version, r.requested_by = %L, r.message_id = %L, r.organization_id = %L) from public.request_suggestion(%L) r',
    tests.id('theo'), tests.message('clio', tests.session('assisted'), 1), tests.organization('alder'), tests.session('assisted'))),
  'requested 1 t t t', 'a request, for the client''s last message'
);
create function tests.mine() returns uuid language sql stable as $$
  select s.id from public.suggestions s where s.requested_by = tests.id('theo') order by s.created_at desc, s.status = 'requested' desc limit 1
$$;
select is(tests.read('theo', format('select id from public.request_suggestion(%L)', tests.session('assisted'))), tests.mine()::text, 'asked twice: the same');
select is(count(*), 1::bigint, 'and one row') from public.suggestions where requested_by is not null;
select is(
  (select actor_id || ' ' || (details ->> 'status') from public.audit_log where subject_table = 'suggestions' and subject_id = tests.mine()::text),
  tests.id('theo') || ' requested', 'the audit log says who asked'
);
select tests.act('vigil', tests.record_command(tests.mine(), tests.message('clio', tests.session('assisted'), 1), jsonb_build_array(tests.seal(tests.device('theo')))));
select is(
  tests.read('theo', format('select id || '' '' || status from public.request_suggestion(%L)', tests.session('assisted'))), tests.mine() || ' offered', 'asked again: the one that is offered'
);

-- Who may decide: `sent` is the therapist's message after the client's.
select tests.act('theo', tests.message_command('theo', tests.session('assisted'), 1));
select tests.act('theo', tests.message_command('theo', tests.session('strict'), 0));
create function tests.decide(decision text, version int default 2, sent uuid default tests.message('theo', tests.session('assisted'), 1)) returns text
language sql stable as $$
  select format('select public.decide_suggestion(%L, %L, %L, %L)', tests.mine(), decision, version, sent)
$$;
select is(tests.attempt(who, tests.decide(decision)), code, format('%s: %s', who, decision))
from (values ('anon', '42501'), ('service_role', '42501'), ('vigil', '42501'), ('nobody', 'PT404'), ('ada', 'PT404'), ('bram', 'PT404'), ('clio', 'PT404'),
  ('theo at aal1', 'PT404'), ('sunny', '42501'), ('olive', '42501')) as p (who, code),
  unnest(array['accepted', 'edited', 'rejected']) as d (decision);
select is(tests.attempt('theo', 'select public.decide_suggestion(gen_random_uuid(), ''rejected'', 1)'), 'PT404', 'one that is not there');
select is(tests.attempt('theo', tests.decide(decision)), '23514', format('no decision: %L', decision))
from unnest(array['offered', 'withdrawn', 'sent', '', null]) as d (decision);
select is(tests.attempt('theo', tests.decide('accepted', version)), 'PT409', format('version %L', version))
from unnest(array[1, 3, null]) as v (version);
select is(tests.detail('theo', tests.decide('accepted', 1)), '{"status": "offered", "version": 2}', 'what it is now is told');
select is(tests.attempt('theo', tests.decide(decision, 2, sent)), 'VG022', format('%s, %s', decision, what))
from (values
  (null, 'nothing sent'), (gen_random_uuid(), 'no such message'), (tests.message('theo', tests.session('assisted'), 0), 'one sent before the client''s'), (tests.message('clio', tests.session('assisted'), 1), 'the client''s own message'),
  (tests.message('theo', tests.session('strict'), 0), 'a message of another session'), (tests.message('clio', tests.session('strict'), 0), 'another''s there')
) as s (sent, what), unnest(array['accepted', 'edited']) as d (decision);
select is(tests.attempt('theo', tests.decide('accepted')), '1', 'accepted, with one sent after the client''s');
savepoint deciding;
delete from public.messages where id = tests.message('clio', tests.session('assisted'), 1);
select is(tests.attempt('theo', tests.decide('accepted')), 'PT404', 'with the message it answers it is gone');
rollback to deciding;

-- What comes of it.
select is(
  tests.read('theo', format('select concat_ws('' '', r.status, r.version, r.decided_by = %L, r.decided_at is not null, r.sent_message_id = %L) from public.decide_suggestion(%L, %L, 2, %L) r',
    tests.id('theo'), tests.message('theo', tests.session('assisted'), 1), tests.mine(), 'edited', tests.message('theo', tests.session('assisted'), 1))),
  'edited 3 t t t', 'edited: the row as it is now'
);
select is(tests.attempt('theo', tests.decide('accepted', version)), 'PT409', 'it is decided once')
from unnest(array[2, 3]) as v (version);
select is(
  (select jsonb_build_array(actor_id, details) from public.audit_log where subject_table = 'suggestions' and details ->> 'status' = 'edited'),
  jsonb_build_array(tests.id('theo'), jsonb_build_object(
    'status', 'edited', 'decided_by', tests.id('theo'), 'sent_message_id', tests.message('theo', tests.session('assisted'), 1)
  )),
  'the audit log says who decided what'
);
delete from public.messages where id = tests.message('theo', tests.session('assisted'), 1);
select is(status || ' ' || (sent_message_id is null) || ' ' || version, 'edited true 3', 'what was sent is erased: the decision stands without it')
from public.suggestions where id = tests.mine();
rollback to deciding;
select is(
  tests.read('theo', format('select concat_ws('' '', status, version, sent_message_id is null) from public.decide_suggestion(%L, ''rejected'', 2, %L)', tests.mine(), gen_random_uuid())),
  'rejected 3 t', 'what is rejected was not sent, whatever is named'
);
select is(
  tests.read('theo', format('select status from public.request_suggestion(%L)', tests.session('assisted'))), 'requested', 'after a decision one may ask anew'
);
rollback to deciding;
select tests.act('ada', 'update public.organizations set suggestions = ''off''');
select is(tests.attempt('theo', tests.decide('accepted')), 'PT409', 'withdrawn: there is nothing to decide');
select is(tests.detail('theo', tests.decide('accepted')), '{"status": "withdrawn", "version": 3}', 'and it says so');

select * from finish();
rollback;
