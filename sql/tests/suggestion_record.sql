-- private.record_suggestion, the sidecar's only way to write a suggestion: what it may not do, then what it does.
begin;
\ir fixtures/people.sql
\ir fixtures/suggestion.sql
select no_plan();

create function tests.theos() returns jsonb language sql stable as $$ select jsonb_build_array(tests.seal(tests.device('theo'))) $$;
create function tests.told(id uuid) returns text language sql as $$
  select concat_ws(' ', s.status, s.reason, s.source, s.version, (select count(*) from public.suggestion_seals k where k.suggestion_id = s.id))
  from public.suggestions s where s.id = told.id
$$;
-- What one record would make of it: undone.
create function tests.outcome(command text, id uuid) returns text language plpgsql as $$
begin
  perform tests.act('vigil', command);
  raise exception using errcode = 'ZZZZZ', message = coalesce(tests.told(id), 'nothing');
exception when sqlstate 'ZZZZZ' then
  return sqlerrm;
end
$$;
-- Clio's next message: nothing was suggested for it.
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 1));
create function tests.next_message() returns uuid language sql stable as $$ select tests.message('clio', tests.session('assisted'), 1) $$;
create function tests.offer(other jsonb default '{}', seals jsonb default tests.theos()) returns text language sql stable as $$
  select tests.record_command(md5('next')::uuid, tests.next_message(), seals, other)
$$;
create function tests.requested() returns uuid language sql stable as $$
  select s.id from public.suggestions s where s.message_id = tests.next_message() and s.requested_by is not null
$$;
create function tests.answer(other jsonb default '{}', seals jsonb default tests.theos()) returns text language sql stable as $$
  select tests.record_command(tests.requested(), tests.next_message(), seals, other)
$$;

-- Nobody else calls it.
select is(tests.attempt(who, tests.offer()), '42501', who || ' does not record')
from unnest(array['anon', 'nobody', 'clio', 'theo', 'sunny', 'ada', 'service_role']) who;
select is(tests.attempt('vigil', tests.offer(other)), '23514', what)
from (values
  ('{"id": null}'::jsonb, 'the sidecar names it, for the seals are bound to its id'),
  ('{"status": "accepted"}', 'it decides nothing'), ('{"status": "requested"}', 'and asks for nothing'), ('{"status": null}', 'nor nothing'),
  ('{"status": "not_made"}', 'what is not made says why'), ('{"source": null}', 'what is offered says from where'), ('{"move": null}', 'and by which move')
) as o (other, what);

-- Unasked: while the organisation is `elevated`.
savepoint unasked;
update public.organizations set suggestions = 'on_demand';
select is(tests.read('vigil', tests.offer()), null, 'on demand: nothing unasked');
update public.organizations set suggestions = 'off';
select is(tests.read('vigil', tests.offer()), null, 'off: nothing');
select is(tests.read('vigil', tests.offer('{"status": "not_made", "reason": "busy"}')), null, 'not even that there is none');
select is(count(*), 0::bigint, 'and nothing is stored') from public.suggestions where message_id = tests.next_message();
rollback to unasked;
select is(tests.read('vigil', tests.record_command(md5('x')::uuid, gen_random_uuid(), tests.theos())), null, 'no such message, as after erasure: nothing');
select is(
  tests.read('vigil', tests.record_command(md5('x')::uuid, tests.message('clio', tests.session('strict'), 0), tests.theos())), null, 'a message that was sent unread: nothing'
);
select is(tests.read('vigil', tests.offer()), 'offered', 'elevated: offered');
select is(tests.told(md5('next')::uuid), 'offered bank 1 1', 'with its seal');
select is(tests.read('vigil', tests.offer()), 'offered', 'said twice: the same');
select is(tests.read('vigil', tests.offer('{"id": "00000000-0000-4000-8000-000000000009"}')), 'offered', 'and by another id: the one there is');
select is(count(*), 1::bigint, 'one unasked for a message') from public.suggestions where message_id = tests.next_message();
select results_eq(
  $$select organization_id, session_id, requested_by, move, bank_version from public.suggestions where id = md5('next')::uuid$$,
  format($$values (%L::uuid, %L::uuid, null::uuid, 'reflect.1', '2026.1')$$, tests.organization('alder'), tests.session('assisted')), 'as the sidecar said, where the message is'
);
select results_eq(
  $$select user_id, organization_id, session_id, message_id from public.suggestion_seals where suggestion_id = md5('next')::uuid$$,
  format('values (%L::uuid, %L::uuid, %L::uuid, %L::uuid)', tests.id('theo'), tests.organization('alder'), tests.session('assisted'), tests.next_message()),
  'a seal says whose it is, and where'
);
select is(
  (select details from public.audit_log where subject_table = 'suggestions' and subject_id = md5('next')::uuid::text),
  jsonb_build_object('session_id', tests.session('assisted'), 'message_id', tests.next_message(), 'status', 'offered', 'reason', null, 'requested_by', null),
  'the audit log says which'
);
rollback to unasked;
select is(tests.read('vigil', tests.offer('{"status": "not_made", "reason": "nothing_fits", "source": null}', '[]')), 'not_made', 'that there is none is kept');
select is(tests.read('vigil', tests.offer('{"id": "00000000-0000-4000-8000-000000000009"}')), 'not_made', 'and is not tried again');
rollback to unasked;

-- What no longer allows it, in the transaction that records it.
select is(tests.outcome(tests.offer('{}', seals), md5('next')::uuid), 'not_made no_device 1 0', what)
from (values
  ('[]'::jsonb, 'no seal: nobody could read it'), (null, 'none at all'), (jsonb_build_array(tests.seal(tests.device('clio'))), 'only the client''s device'),
  (jsonb_build_array(tests.seal(tests.device('sunny'))), 'only a supervisor''s, who takes no part'), (jsonb_build_array(tests.seal(md5('analysis')::uuid)), 'only the sidecar''s'),
  (jsonb_build_array(tests.seal(tests.device('bram'))), 'only a stranger''s')
) as o (seals, what);
select is(
  tests.read('vigil', tests.offer('{}', tests.theos() || tests.seal(tests.device('clio')))), 'offered', 'a seal too many is left out'
);
select is(array_agg(device_id), array[tests.device('theo')], 'the client''s') from public.suggestion_seals where suggestion_id = md5('next')::uuid;
rollback to unasked;
update public.devices set revoked_at = now() where id = tests.device('theo');
select is(tests.read('vigil', tests.offer()) || ' ' || tests.told(md5('next')::uuid), 'not_made not_made no_device 1 0', 'a revoked device gets nothing');
rollback to unasked;
update public.memberships set ended_at = now() where user_id = tests.id('theo');
select is(tests.read('vigil', tests.offer()) || ' ' || tests.told(md5('next')::uuid), 'not_made not_made no_device 1 0', 'nor whose membership has ended');
rollback to unasked;
select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$);
select is(tests.read('vigil', tests.offer()) || ' ' || tests.told(md5('next')::uuid), 'not_made not_made no_consent 1 0', 'consent withdrawn');
rollback to unasked;
update public.devices set revoked_at = now() where id = tests.device('clio');
select is(tests.read('vigil', tests.offer()) || ' ' || tests.told(md5('next')::uuid), 'not_made not_made no_consent 1 0', 'the device that gave it is revoked');
rollback to unasked;
update public.sessions set mode = 'strict' where id = tests.session('assisted');
select is(tests.read('vigil', tests.offer()) || ' ' || tests.told(md5('next')::uuid), 'not_made not_made strict 1 0', 'the session is strict now');
rollback to unasked;

-- Asked for.
update public.organizations set suggestions = 'on_demand';
select tests.act('theo', format('select public.request_suggestion(%L)', tests.session('assisted')));
select is(tests.told(tests.requested()), 'requested 1 0', 'requested');
savepoint asked;
select is(tests.read('vigil', tests.offer()), null, 'what nobody asked for is still not made on demand');
select is(tests.read('vigil', tests.answer()), 'offered', 'the answer is offered, on demand too');
select is(tests.told(tests.requested()), 'offered bank 2 1', 'with its seal');
select is(tests.read('vigil', tests.answer('{"status": "not_made", "reason": "busy"}')), 'offered', 'it is answered once');
select is(tests.told(tests.requested()), 'offered bank 2 1', 'and stands');
rollback to asked;
select is(tests.read('vigil', tests.answer('{"status": "not_made", "reason": "model_failed", "source": null}')), 'not_made', 'or not made');
select is(tests.told(tests.requested()), 'not_made model_failed 2 0', 'which says why');
rollback to asked;
update public.organizations set suggestions = 'elevated';
select is(tests.read('vigil', tests.offer()), 'requested', 'an unasked one does not overtake a request');
select is(count(*), 1::bigint, 'and is not stored') from public.suggestions where message_id = tests.next_message();
rollback to asked;
select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$);
select is(tests.read('vigil', tests.answer()), 'withdrawn', 'consent withdrawn meanwhile: an answer on its way comes too late');
select is(tests.told(tests.requested()), 'withdrawn 2 0', 'and leaves nothing');
rollback to asked;
select is(
  tests.read('vigil', tests.record_command(tests.requested(), tests.message('clio', tests.session('assisted'), 0), tests.theos())), 'requested', 'a request is answered for its own message'
);

-- Turned off: what is open is withdrawn, with its seals; what was decided stands.
select tests.act('theo', tests.message_command('theo', tests.session('assisted'), 0));
select tests.act('theo', format('select public.decide_suggestion(%L, ''accepted'', 1, %L)', tests.suggestion('assisted'), tests.message('theo', tests.session('assisted'), 0)));
savepoint decided;
select tests.act('ada', 'update public.organizations set suggestions = ''off''');
select is(tests.told(tests.requested()), 'withdrawn 2 0', 'off: a request is withdrawn');
select is(tests.told(tests.suggestion('assisted')), 'accepted bank 2 1', 'what was accepted stands');
select is(tests.told(tests.suggestion('theirs')), 'offered bank 1 1', 'and what is another organisation''s');
select is(tests.read('vigil', tests.answer()), 'withdrawn', 'an answer on its way comes too late');
select is(tests.told(tests.requested()), 'withdrawn 2 0', 'and leaves nothing');
select is(
  (select actor_id from public.audit_log where subject_table = 'suggestions' and details ->> 'status' = 'withdrawn'), tests.id('ada'), 'the audit log says whose doing it was'
);
select is(
  (select jsonb_agg(jsonb_build_array(action, subject_id, details)) from public.audit_log where subject_table = 'suggestions' and details ->> 'status' = 'withdrawn'),
  jsonb_build_array(jsonb_build_array('withdraw', tests.organization('alder'), '{"status": "withdrawn", "count": 1}'::jsonb)), 'and how many, once'
);
select is(private.first_broken_audit(tests.organization('alder')), null, 'and is whole');
update public.organizations set suggestions = 'elevated';
select is(tests.told(tests.requested()), 'withdrawn 2 0', 'on again: what was withdrawn stays so');
rollback to decided;
select is(tests.read('vigil', tests.answer()), 'offered', 'offered');
select tests.act('ada', 'update public.organizations set suggestions = ''off''');
select is(tests.told(tests.requested()), 'withdrawn bank 3 0', 'off: what is offered is withdrawn, and its seals are gone');
rollback to decided;
select tests.act('ada', 'update public.organizations set suggestions = ''elevated''');
select is(tests.told(tests.requested()), 'requested 1 0', 'another setting withdraws nothing');

rollback to unasked;

-- Turned off with many open: one entry in the audit log, whose head everybody else needs.
select tests.act('theo', format('select public.request_suggestion(%L)', tests.session('assisted')));
select tests.act('ada', 'update public.organizations set suggestions = ''off''');
select results_eq(
  $$select action, details -> 'count' from public.audit_log where subject_table = 'suggestions' and details ->> 'status' = 'withdrawn'$$,
  $$values ('withdraw', '2'::jsonb)$$, 'two are withdrawn: one entry'
);
select is(string_agg(s.status, ' '), 'withdrawn withdrawn', 'both') from public.suggestions s where s.organization_id = tests.organization('alder');
rollback to unasked;

-- Consent withdrawn: what is open in that session goes, in that transaction.
select tests.act('theo', format('select public.request_suggestion(%L)', tests.session('assisted')));
savepoint open_ones;
select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$);
select is(tests.told(tests.suggestion('assisted')), 'withdrawn bank 2 0', 'consent withdrawn: a draft that was offered goes, with its seals');
select is(string_agg(status, ' '), 'withdrawn', 'and a request') from public.suggestions where message_id = tests.next_message();
select is(tests.told(tests.suggestion('theirs')), 'offered bank 1 1', 'not another session''s');
select is(
  (select jsonb_agg(jsonb_build_array(actor_id, subject_id, details)) from public.audit_log where subject_table = 'suggestions' and action = 'withdraw'),
  jsonb_build_array(jsonb_build_array(tests.id('clio'), tests.session('assisted'), '{"status": "withdrawn", "count": 2}'::jsonb)), 'audited once'
);
rollback to open_ones;
select tests.act('clio', format($$insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature)
  values (md5('models')::uuid, %L, %L, array['external_models'], %L, %L)$$, tests.session('assisted'), tests.device('clio'), tests.bytes('h', 43), tests.bytes('s', 86)));
select tests.act('clio', $$select public.withdraw_consent(md5('models')::uuid, tests.bytes('w', 86))$$);
select is(tests.told(tests.suggestion('assisted')), 'offered bank 1 1', 'a consent that is not to analysis: nothing');
rollback to unasked;

-- Nobody decides: what newer ones displace is withdrawn.
create function tests.open_ones() returns text language sql stable as $$
  select string_agg(m.seq || ' ' || s.status || ' ' || (select count(*) from public.suggestion_seals k where k.suggestion_id = s.id), ', ' order by m.position)
  from public.suggestions s join public.messages m on m.id = s.message_id
  where s.session_id = tests.session('assisted') and s.status in ('requested', 'offered')
$$;
create function tests.offer_for(n int) returns text language sql stable as $$
  select tests.record_command(md5('for ' || n)::uuid, tests.message('clio', tests.session('assisted'), n), tests.theos())
$$;
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), n)) from generate_series(2, 6) n;
select tests.act('vigil', tests.offer_for(n)) from generate_series(1, 5) n;
select is(tests.open_ones(), '3 offered 1, 4 offered 1, 5 offered 1', 'unanswered: those for the latest three messages stay');
select is(tests.told(md5('for 2')::uuid), 'withdrawn bank 2 0', 'the one before is withdrawn, and its seals are gone');
select tests.act('theo', format('select public.request_suggestion(%L)', tests.session('assisted')));
select is(tests.open_ones(), '4 offered 1, 5 offered 1, 6 requested 0', 'a request displaces them too');
select tests.act('theo', tests.message_command('theo', tests.session('assisted'), 0));
select is(tests.read('theo', format('select message_id from public.request_suggestion(%L)', tests.session('assisted'))), tests.message('clio', tests.session('assisted'), 6)::text, 'asked again: the same');
select is(tests.open_ones(), '4 offered 1, 5 offered 1, 6 requested 0', 'answered: they may still be decided about');
select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 7));
select tests.act('vigil', tests.offer_for(7));
select is(tests.open_ones(), '6 requested 0, 7 offered 1', 'until there is one for a later message');
select is(tests.told(tests.suggestion('theirs')), 'offered bank 1 1', 'another session''s stay');
select is(private.first_broken_audit(tests.organization('alder')), null, 'the audit log is whole');

select * from finish();
rollback;
