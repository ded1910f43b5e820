-- What clients refuse is audited: once for each person, row and reason, by ids only. And a client makes a session strict, never assisted.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

create function tests.refuse(session text, tab text, id text, reason text) returns text language sql immutable as $$
  select format('select public.report_refusal(%L, %L, %L, %L)', tests.session($1), $2, $3, $4)
$$;
create function tests.refused() returns bigint language sql stable as $$ select count(*) from public.audit_log where action = 'refuse' $$;

select * from tests.matrix(array[
  array['anon', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), '42501'],
  array['nobody', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), 'PT404'],
  array['brook', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), 'PT404'],
  array['ada', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), 'PT404'],
  array['theo at aal1', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), 'PT404'],
  array['vigil', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), '42501'],
  array['service_role', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), '42501'],
  array['clio', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'), '1'],
  array['theo', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'split_view'), '1'],
  array['sunny', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'withheld'), '1'],
  array['olive', tests.refuse('assisted', 'epoch_wraps', md5('s')::uuid || '/1/' || md5('d')::uuid, 'commitment'), '1'],
  array['clio', tests.refuse('nothing', 'messages', md5('m')::uuid::text, 'signature'), 'PT404'],
  array['clio', tests.refuse('assisted', 'audit_log', '1', 'signature'), '23514'],
  array['clio', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'I did not like it'), '23514'],
  array['clio', tests.refuse('assisted', 'messages', 'what was said', 'signature'), '23514'],
  array['clio', tests.refuse('assisted', 'messages', '', 'signature'), '23514'],
  array['clio', format('select public.report_refusal(%L, null, %L, ''signature'')', tests.session('assisted'), md5('m')::uuid), '23514'],
  array['clio', format('select public.report_refusal(%L, ''messages'', null, ''signature'')', tests.session('assisted')), '23514'],
  array['clio', 'select from private.refusals', '42501']
]);

select tests.act('clio', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'));
select tests.act('clio', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'));
select is(tests.refused(), 1::bigint, 'told twice, written once');
select results_eq(
  $$select organization_id, actor_id, actor_kind, subject_table, subject_id, details from public.audit_log where action = 'refuse'$$,
  format($$values (%L::uuid, %L::uuid, 'user', 'messages', %L, %L::jsonb)$$, tests.organization('alder'), tests.id('clio'), md5('m')::uuid,
    jsonb_build_object('reason', 'signature', 'session_id', tests.session('assisted'))),
  'who, which row, why'
);
select tests.act('theo', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'signature'));
select tests.act('clio', tests.refuse('assisted', 'messages', md5('m')::uuid::text, 'body'));
select is(tests.refused(), 3::bigint, 'each person''s, and each reason');
select tests.act('clio', tests.refuse('strict', 'messages', md5('m' || i)::uuid::text, 'body')) from generate_series(1, 60) i;
select is(
  (select count(*) from public.audit_log where action = 'refuse' and actor_id = tests.id('clio') and details ->> 'session_id' = tests.session('strict')::text and details ->> 'reason' <> 'flood'),
  50::bigint, 'no more than fifty a day'
);
select results_eq(
  $$select subject_table, subject_id, details from public.audit_log where action = 'refuse' and actor_id = tests.id('clio') and details ->> 'reason' = 'flood'$$,
  format($$values ('sessions', %L, %L::jsonb)$$, tests.session('strict'), jsonb_build_object('reason', 'flood', 'session_id', tests.session('strict'))),
  'and one entry that there were more'
);
update private.refusals set created_at = created_at - interval '25 hours' where reason = 'flood';
select tests.act('clio', tests.refuse('strict', 'messages', md5('m1')::uuid::text, 'body'));
select is((select count(*) from public.audit_log where details ->> 'reason' = 'flood'), 1::bigint, 'what was reported already is not more');
select tests.act('clio', tests.refuse('strict', 'messages', md5('m60')::uuid::text, 'body'));
select is((select count(*) from public.audit_log where details ->> 'reason' = 'flood'), 2::bigint, 'once a day');
select tests.act('clio', tests.refuse('assisted', 'messages', md5('n')::uuid::text, 'body'));
select is(
  (select count(*) from public.audit_log where action = 'refuse' and subject_id = md5('n')::uuid::text), 1::bigint, 'a flood in one session hides nothing of another'
);
select is(tests.attempt('clio', tests.refuse('strict', 'sessions', tests.session('strict')::text, 'flood')), '23514', 'nobody else says flood');
select is(tests.attempt('clio', tests.refuse('strict', 'messages', md5('more')::uuid::text, 'body')), '1', 'and more are no error');
select tests.act('theo', tests.refuse('strict', 'messages', md5('m1')::uuid::text, 'body'));
select is((select count(*) from public.audit_log where action = 'refuse' and actor_id = tests.id('theo')), 2::bigint, 'another person''s are still written');
select is(private.first_broken_audit(tests.organization('alder')), null, 'the chain is whole');

-- Withdrawing consent does not silence the client.
select * from tests.matrix(array[
  array['clio', format('select public.change_session_mode(%L, ''assisted'')', tests.session('strict')), '42501'],
  array['brook', format('select public.change_session_mode(%L, ''strict'')', tests.session('assisted')), 'PT404'],
  array['ada', format('select public.change_session_mode(%L, ''strict'')', tests.session('assisted')), 'PT404'],
  array['clio', format('select public.change_session_mode(%L, null)', tests.session('assisted')), '42501'],
  array['theo', format('select public.change_session_mode(%L, ''assisted'')', tests.session('strict')), '1'],
  array['olive', format('select public.change_session_mode(%L, ''strict'')', tests.session('assisted')), '42501']
]);
select tests.act('clio', format('select public.withdraw_consent(%L, %L)', md5('consent assisted')::uuid, tests.bytes('w', 86)));
select is(tests.attempt('clio', tests.epoch_command('clio', tests.session('assisted'), md5('consent assisted')::uuid)), 'VG006', 'without consent an assisted session stands still');
select tests.act('clio', format('select public.change_session_mode(%L, ''strict'')', tests.session('assisted')));
select is(mode || min_epoch, 'strict2', 'the client makes it strict') from public.sessions where id = tests.session('assisted');
select tests.act('clio', tests.epoch_command('clio', tests.session('assisted')));
select is(tests.attempt('clio', tests.message_command('clio', tests.session('assisted'), 1)), '1', 'and goes on');
select is(count(*), 0::bigint, 'the analysis key is not on the new epoch') from public.epoch_wraps where session_id = tests.session('assisted') and epoch = 2 and role = 9;
update public.session_participants set ended_at = now() where user_id = tests.id('clio') and session_id = tests.session('assisted');
select is(tests.attempt('clio', format('select public.change_session_mode(%L, ''strict'')', tests.session('assisted'))), 'PT404', 'who has left changes nothing');

select * from finish();
rollback;
