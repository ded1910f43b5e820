-- Both sides score a message of a strict session, with a device of theirs; clinicians read; the sidecar judges each, and takes one of each side.
begin;
\ir fixtures/people.sql
select no_plan();

-- What a device inserts; `other` replaces what it says.
create function tests.score_command(who text, message uuid, side text, other jsonb default '{}') returns text language sql stable as $$
  select format(
    'insert into public.message_scores (message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items,
      scores, rules, model_version, ruleset_version, signature)
    select message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items,
      scores, rules, model_version, ruleset_version, signature from jsonb_populate_record(null::public.message_scores, %L)',
    jsonb_build_object(
      'message_id', message, 'side', side, 'device_id', tests.device(who), 'after_position', 0, 'level', 4, 'harm_others', false, 'abuse', false,
      'distress', true, 'alert', true, 'escalate', false, 'hard', '["self_harm"]'::jsonb, 'items',
      '["present", "present", "unknown", "absent", "absent", "absent"]'::jsonb, 'scores', '[912000, 0, 1000, 250000]'::jsonb,
      'rules', '["plan.means", "wish.die"]'::jsonb, 'model_version', 'm-1', 'ruleset_version', 'r-1', 'signature', tests.bytes('score', 86)
    ) || other
  )
$$;
create function tests.strict_message() returns uuid language sql immutable as $$ select tests.message('clio', tests.session('strict'), 0) $$;

-- One score of each side, by whose insert nothing of this file's table stays.
select * from tests.commands(
  $$ select from public.message_scores $$,
  tests.score_command('clio', tests.strict_message(), 'sender'),
  $$ update public.message_scores set disagrees = false $$,
  $$ delete from public.message_scores $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['brook', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['sunny', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '0', 'VG011', '42501', '42501'],
    array['clio', '0', '1', '42501', '42501'],
    array['vigil', '0', '42501', '42501', '42501'],
    array['service_role', '0', '42501', '42501', '42501']
  ]
);

select * from tests.matrix(array[
  array['theo', tests.score_command('theo', tests.strict_message(), 'clinician'), '1'],
  array['theo', tests.score_command('theo', tests.strict_message(), 'sender'), '42501'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'clinician'), '42501'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'nobody'), '42501'],
  array['clio', tests.score_command('clio', tests.message('clio', tests.session('assisted'), 0), 'sender'), 'VG026'],
  array['clio', tests.score_command('clio', tests.message('brook', tests.session('theirs'), 0), 'sender'), '42501'],
  array['clio', tests.score_command('clio', md5('no message')::uuid, 'sender'), '42501'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', jsonb_build_object('device_id', tests.device('theo'))), 'VG011'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"after_position": -1}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"after_position": 1}'), '23514'],
  array['theo', tests.score_command('theo', tests.strict_message(), 'clinician', '{"after_position": 1}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"level": 7}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"level": null}'), '23502'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"hard": ["everything"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"hard": ["abuse", "abuse"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"items": ["present"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"items": ["present", "present", "maybe", "absent", "absent", "absent"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"items": ["present", "present", null, "absent", "absent", "absent"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"scores": [0, 0, 0]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"scores": [0, 0, 0, 1000001]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"scores": [0, 0, 0, null]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": ["a rule"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": [""]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": ["a", ""]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": ["a", null]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": ["a", "a"]}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', jsonb_build_object('rules', (select jsonb_agg('r' || i) from generate_series(1, 65) i))), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', jsonb_build_object('rules', (select jsonb_agg('r' || i) from generate_series(1, 64) i))), '1'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": [], "hard": []}'), '1'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"model_version": "a b"}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"ruleset_version": ""}'), '23514'],
  array['clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"signature": "short"}'), '23514'],
  array['clio', format('insert into public.message_scores (message_id, side, device_id, user_id) values (%L, ''sender'', %L, %L)', tests.strict_message(), tests.device('clio'), tests.id('clio')), '42501'],
  array['clio', 'insert into private.unassessed_scores values (gen_random_uuid(), ''sender'', '''')', '42501'],
  array['clio', 'insert into private.refused_scores values (gen_random_uuid(), ''sender'', '''')', '42501'],
  array['clio', 'select private.scores_due(10)', '42501'],
  array['clio', format('select private.settle_score(%L, ''sender'', '''', true)', tests.strict_message()), '42501'],
  array['clio', format('select private.refuse_score(%L, ''sender'', '''')', tests.strict_message()), '42501']
]);

-- A device that waits scores nothing; nor does a revoked one.
select tests.act('clio', format('insert into public.devices (id, enc_pub, sig_pub) values (%L, %L, %L)', md5('second')::uuid, tests.key('enc second'), tests.key('sig second')));
select is(
  tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender', jsonb_build_object('device_id', md5('second')::uuid))),
  'VG025', 'a device that waits scores nothing'
);

-- What the caller cannot set is set for them, and what is signed is in the order that is signed.
select tests.act('clio', tests.score_command('clio', tests.strict_message(), 'sender', '{"rules": ["wish.die", "Plan", "plan.means"], "hard": ["distress", "self_harm"]}'));
select results_eq(
  'select session_id, organization_id, position, epoch, user_id, rules, hard, disagrees from public.message_scores',
  format($$values (%L::uuid, %L::uuid, 1::bigint, 1, %L::uuid, '{Plan,plan.means,wish.die}'::text[], '{self_harm,distress}'::text[], false)$$,
    tests.session('strict'), tests.organization('alder'), tests.id('clio')),
  'place and person are the message''s and the caller''s; rules are sorted by bytes, categories by their bits'
);
create function tests.another(name text) returns jsonb language sql immutable as $$ select jsonb_build_object('signature', tests.bytes(name, 86)) $$;
select is(tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender')), '23505', 'the same score stands once');
select is(
  tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('second'))), '1', 'another of the same side may be the true one'
);
select is(tests.attempt('postgres', 'update public.message_scores set level = 0'), 'VG015', 'a score stands');

-- Who reads it.
select * from tests.matrix(array[
  array['clio', 'select from public.message_scores', '0'],
  array['theo', 'select from public.message_scores', '1'],
  array['sunny', 'select from public.message_scores', '1'],
  array['theo at aal1', 'select from public.message_scores', '0'],
  array['ada', 'select from public.message_scores', '0'],
  array['bram', 'select from public.message_scores', '0'],
  array['vigil', 'select from public.message_scores', '1'],
  array['service_role', 'select from public.message_scores', '1']
]);

-- Disagreement: same detector, same state, another finding. A race or an older page is none.
create function tests.disagrees(other jsonb) returns text language plpgsql as $$
declare
  answer text;
begin
  begin
    perform tests.act('theo', tests.score_command('theo', tests.strict_message(), 'clinician',
      '{"rules": ["Plan", "plan.means", "wish.die"], "hard": ["self_harm", "distress"]}'::jsonb || other));
    select s.disagrees || '/' || (select count(*) from public.audit_log l where l.subject_table = 'message_scores') into answer
    from public.message_scores s where s.side = 'clinician';
    raise exception using errcode = 'ZZZZZ', message = answer;
  exception when sqlstate 'ZZZZZ' then
    return sqlerrm;
  end;
end
$$;
select is(tests.disagrees('{}'), 'false/0', 'two that say the same agree');
select is(tests.disagrees('{"level": 3}'), 'true/1', 'another level is a disagreement, and audited');
select is(tests.disagrees('{"rules": ["Plan"]}'), 'true/1', 'other rules are');
select is(tests.disagrees('{"scores": [912001, 0, 1000, 250000]}'), 'true/1', 'another probability is');
savepoint near;
set local session_replication_role = replica;
update public.messages set position = 9 where id = tests.strict_message();
set local session_replication_role = origin;
select is(tests.disagrees('{"level": 3, "after_position": 1}'), 'false/0', 'after another position it is a race');
rollback to near;
select is(tests.disagrees('{"level": 3, "model_version": "m-2"}'), 'false/0', 'another model may find something else');
select is(tests.disagrees('{"level": 3, "ruleset_version": "r-2"}'), 'false/0', 'and other rules');

-- One that the sidecar has refused is no other side.
savepoint refused;
select tests.act('vigil', format('select private.settle_score(%L, ''sender'', %L, false)', tests.strict_message(), tests.bytes('score', 86)));
select tests.act('vigil', format('select private.refuse_score(%L, ''sender'', %L)', tests.strict_message(), tests.bytes('score', 86)));
select is(tests.disagrees('{"level": 3}'), 'false/1', 'nobody differs from garbage, which the audit log has already');
rollback to refused;
select tests.act('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('agrees') || '{"level": 3, "rules": ["Plan", "plan.means", "wish.die"], "hard": ["self_harm", "distress"]}'));
select is(tests.disagrees('{"level": 3}'), 'false/0', 'of several, one that agrees is enough');
rollback to refused;

-- Garbage takes nobody's place: eight a minute, whatever becomes of them.
select tests.act('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('garbage ' || i))) from generate_series(2, 8) i;
select is(tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('true'))), 'PT429', 'a ninth waits');
select is(tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender')), '23505', 'one that stands does not');
select is(tests.attempt('theo', tests.score_command('theo', tests.strict_message(), 'clinician')), '1', 'nor the other side');
set local session_replication_role = replica;
update public.message_scores set created_at = now() - interval '61 seconds';
set local session_replication_role = origin;
select is(tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('true'))), '1', 'a minute later there is room, though nobody has judged them');
rollback to refused;

-- The sidecar judges each score once.
create function tests.settle(side text, signature text, counts boolean) returns text language sql as $$
  select tests.read('vigil', format('select private.settle_score(%L, %L, %L, %L)', tests.strict_message(), side, tests.bytes(signature, 86), counts))
$$;
create function tests.assessment_command(side text, reason text, level int) returns text language sql as $$
  select format(
    'insert into public.assessments (organization_id, session_id, message_id, position, source, status, reason, level) values (%L, %L, %L, 1, %L, %L, %L, %L)',
    tests.organization('alder'), tests.session('strict'), tests.strict_message(), side, case when reason is null then 'assessed' else 'not_assessed' end, reason, level
  )
$$;
select tests.act('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('true')));
select tests.act('theo', tests.score_command('theo', tests.strict_message(), 'clinician'));
select is(tests.read('vigil', 'select string_agg(s.side, '','' order by s.side) from private.scores_due(10) s'), 'clinician,sender,sender', 'all of both sides are due');
select is(tests.read('vigil', 'select count(*) from private.scores_due(1)'), '1', 'no more than asked');
select is(tests.read('vigil', 'select count(*) from private.scores_due(-1)'), '0', 'nor fewer than none');
select is(tests.read('vigil', 'select s.signature from private.scores_due(1) s'), tests.bytes('score', 86), 'the oldest first');
select tests.act('vigil', format('select private.settle_score(%L, ''sender'', %L, false)', tests.strict_message(), tests.bytes('score', 86)));
select tests.act('vigil', tests.assessment_command('sender', 'score', null));
select tests.act('vigil', format('select private.refuse_score(%L, ''sender'', %L)', tests.strict_message(), tests.bytes('score', 86)));
select is(tests.attempt('vigil', format('select private.refuse_score(%L, ''sender'', %L)', tests.strict_message(), tests.bytes('score', 86))), '1', 'refused twice is no error');
select results_eq(
  $$select subject_id, details ->> 'device_id' from public.audit_log where action = 'refuse' and subject_table = 'message_scores'$$,
  format('values (%L, %L)', tests.strict_message() || '/sender', tests.device('clio')), 'and is one entry of the audit log'
);
select is(tests.read('vigil', 'select string_agg(s.side, '','' order by s.side) from private.scores_due(10) s'), 'clinician,sender', 'the others wait on');
select is(tests.settle('sender', 'score', true), 'false', 'what is judged is not judged again');
select tests.act('vigil', format('select private.settle_score(%L, ''sender'', %L, true)', tests.strict_message(), tests.bytes('true', 86)));
select is(tests.attempt('vigil', tests.assessment_command('sender', null, 4)), '1', 'one that counts takes the place of what was recorded for want of it');
select tests.act('vigil', tests.assessment_command('sender', null, 4));
select is(tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('late'))), 'VG029', 'then the side has its score');
select is(tests.attempt('clio', tests.score_command('clio', tests.strict_message(), 'sender', tests.another('true'))), 'VG029', 'whoever asks');
select tests.act('vigil', format('select private.settle_score(%L, ''clinician'', %L, false)', tests.strict_message(), tests.bytes('score', 86)));
select is(tests.read('vigil', 'select count(*) from private.scores_due(10)'), '0', 'nothing is due');
select is(count(*), 0::bigint, 'nor kept') from private.unassessed_scores;

-- What nobody scored is listed once it is old enough, for a day; clients' and strict ones only.
create function tests.unscored(older text) returns text language sql as $$
  select tests.read('vigil', format('select coalesce(string_agg(u.message_id::text, '','' order by u.created_at), ''none'') from private.unscored_messages(%L, 10) u', older))
$$;
create function tests.unscored_command(message uuid) returns text language sql as $$
  select format(
    'insert into public.assessments (organization_id, session_id, message_id, position, source, status, reason)
    values (%L, %L, %L, %s, ''sender'', ''not_assessed'', ''unscored'')', m.organization_id, m.session_id, m.id, m.position)
  from public.messages m where m.id = message
$$;
create function tests.silent_message(seq int) returns uuid language sql immutable as $$ select tests.message('clio', tests.session('strict'), seq) $$;
select is(tests.unscored('-1 minute'), 'none', 'a message with a score is not listed, nor an assisted one');
select tests.act('clio', tests.message_command('clio', tests.session('strict'), 7));
select tests.act('clio', tests.message_command('clio', tests.session('strict'), 8));
select tests.act('theo', tests.message_command('theo', tests.session('strict'), 9));
select is(
  tests.unscored('-1 minute'), tests.silent_message(7) || ',' || tests.silent_message(8), 'clients'' messages that nobody scored are, the oldest first'
);
select is(tests.unscored('2 minutes'), 'none', 'not before they are old enough');
select is(tests.read('vigil', 'select count(*) from private.unscored_messages(''-1 minute'', 1)'), '1', 'no more of them than asked');
select is(
  tests.read('vigil', 'select string_agg(concat_ws(''/'', u.session_id, u.organization_id, u.position, u.epoch, u.device_id), '','') from private.unscored_messages(''-1 minute'', 1) u'),
  concat_ws('/', tests.session('strict'), tests.organization('alder'), 2, 1, tests.device('clio')), 'with where they are'
);
select is(tests.attempt('clio', 'select private.unscored_messages(''1 minute'', 10)'), '42501', 'for the sidecar only');
set local session_replication_role = replica;
update public.messages set created_at = now() - interval '25 hours' where id = tests.silent_message(8);
select is(tests.unscored('1 hour'), 'none', 'after a day it is too late');
update public.messages set created_at = now() - interval '23 hours' where id = tests.silent_message(8);
set local session_replication_role = origin;
select is(tests.unscored('1 hour'), tests.silent_message(8)::text, 'within it, it is not');
select tests.act('vigil', tests.unscored_command(tests.silent_message(7)));
select is(tests.unscored('-1 minute'), tests.silent_message(8)::text, 'an assessment that says so settles it');
-- A score that came first stands; one that comes late, and counts, takes the other's place.
select tests.act('clio', tests.score_command('clio', tests.silent_message(8), 'sender'));
select is(tests.attempt('vigil', tests.unscored_command(tests.silent_message(8))), '0', 'nobody says that a score is missing which is there');
select tests.act('clio', tests.score_command('clio', tests.silent_message(7), 'sender'));
select is(
  tests.read('vigil', 'select string_agg(s.message_id::text, '','' order by s.position) from private.scores_due(10) s'),
  tests.silent_message(7) || ',' || tests.silent_message(8), 'a late score is due as any'
);
select tests.act('vigil', format('select private.settle_score(%L, ''sender'', %L, true)', tests.silent_message(7), tests.bytes('score', 86)));
select is(
  tests.attempt('vigil', format(
    'insert into public.assessments (organization_id, session_id, message_id, position, source, status, level) values (%L, %L, %L, 2, ''sender'', ''assessed'', 4)',
    tests.organization('alder'), tests.session('strict'), tests.silent_message(7))),
  '1', 'and can be assessed'
);
-- The rest counts messages from 0 again.
select tests.act('service_role', format('delete from public.messages where session_id = %L and seq > 0', tests.session('strict')));

-- A therapist's message is scored by its sender only.
select tests.act('theo', tests.message_command('theo', tests.session('strict'), 0));
select is(tests.attempt('theo', tests.score_command('theo', tests.message('theo', tests.session('strict'), 0), 'clinician')), '42501', 'nobody scores their own as the other side');
select is(tests.attempt('theo', tests.score_command('theo', tests.message('theo', tests.session('strict'), 0), 'sender')), '1', 'but as the sender');

-- Erased with its message.
select tests.act('service_role', format('delete from public.messages where id = %L', tests.strict_message()));
select is(count(*), 0::bigint, 'a score goes with its message') from public.message_scores;

-- Someone who no longer takes part scores nothing.
select tests.act('theo', tests.message_command('theo', tests.session('strict'), 1));
update public.session_participants set ended_at = now() where user_id = tests.id('theo') and session_id = tests.session('strict');
select is(tests.attempt('theo', tests.score_command('theo', tests.message('theo', tests.session('strict'), 1), 'sender')), '42501', 'who has left scores nothing');

select * from finish();
rollback;
