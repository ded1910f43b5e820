-- Made by trigger with the alert; the sidecar says how it went; clinicians read. What a page was sent by is the service role's alone.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
insert into public.alert_page_deliveries (alert_id, step, channel) values (tests.alert('assisted'), 1, 'webhook');
select no_plan();

select * from tests.commands(
  $$ select from public.alert_pages $$,
  $$ insert into public.alert_pages (alert_id, step, organization_id, session_id, level) values (tests.alert('assisted'), 2, tests.organization('alder'), tests.session('assisted'), 4) $$,
  $$ update public.alert_pages set attempts = attempts + 1 $$,
  $$ delete from public.alert_pages $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['olive', '1', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501'],
    array['vigil', '2', '42501', '2', '42501'],
    array['postgres', '2', '1', '2', '2']
  ]
);
select * from tests.commands(
  $$ select from public.alert_page_deliveries $$,
  $$ insert into public.alert_page_deliveries (alert_id, step, channel, recipient) values (tests.alert('assisted'), 1, 'email', tests.id('olive')::text) $$,
  $$ update public.alert_page_deliveries set status = 'sent', sent_at = now() $$,
  $$ delete from public.alert_page_deliveries $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '42501', '42501', '42501', '42501'],
    array['clio', '42501', '42501', '42501', '42501'],
    array['theo', '42501', '42501', '42501', '42501'],
    array['sunny', '42501', '42501', '42501', '42501'],
    array['ada', '42501', '42501', '42501', '42501'],
    array['vigil', '42501', '42501', '42501', '42501'],
    array['service_role', '1', '1', '1', '42501'],
    array['postgres', '1', '1', '1', '1']
  ]
);

-- Which alerts are paged.
create function tests.raise_command(name text, level text) returns text language sql stable as $$
  select format(
    'insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, source) values (%L, %L, %L, %L, %L, %s, %L)',
    tests.alert(name), tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0),
    md5('assessment assisted')::uuid, level, name
  )
$$;
create function tests.paged(name text) returns text language sql stable as $$
  select string_agg(concat_ws(' ', p.step, p.level, p.status, p.attempts, p.next_attempt_at <= now()), ', ') from public.alert_pages p where p.alert_id = tests.alert(name)
$$;
select tests.act('vigil', tests.raise_command('level ' || l, l)) from unnest(array['0', '3', '4', '6', 'null']) as l;
select is(tests.paged('level ' || l), page, format('level %s, paged at 4: %s', l, coalesce(page, 'no page')))
from (values ('0', null), ('3', null), ('4', '1 4 pending 0 t'), ('6', '1 6 pending 0 t'), ('null', '1 pending 0 t')) as p (l, page);
select tests.act('vigil', tests.raise_command('unknown again', 'null'));
select is(tests.paged('unknown again'), null, 'what could not be assessed: once an hour in a session');
update public.alert_pages set status = 'failed' where alert_id = tests.alert('level null');
select tests.act('vigil', tests.raise_command('unknown, unsent', 'null'));
select is(tests.paged('unknown, unsent'), '1 pending 0 t', 'but what reached nobody makes no other silent');
insert into public.assessments (id, organization_id, session_id, message_id, position, source, status, level, harm_others, alert)
select md5('assessment of harm')::uuid, a.organization_id, a.session_id, a.message_id, a.position, 'harm', 'assessed', 0, true, true
from public.assessments a where a.id = md5('assessment assisted')::uuid;
select tests.act('vigil', replace(tests.raise_command('harm to others', '0'), md5('assessment assisted')::uuid::text, md5('assessment of harm')::uuid::text));
select is(tests.paged('harm to others'), '1 0 pending 0 t', 'a danger to others, whatever the level');
insert into public.assessments (id, organization_id, session_id, message_id, position, source, status, level, abuse, alert)
select md5('assessment of abuse')::uuid, a.organization_id, a.session_id, a.message_id, a.position, 'abuse', 'assessed', 0, true, true
from public.assessments a where a.id = md5('assessment assisted')::uuid;
select tests.act('vigil', replace(tests.raise_command('abuse', '0'), md5('assessment assisted')::uuid::text, md5('assessment of abuse')::uuid::text));
select is(tests.paged('abuse'), null, 'abuse, which pages nobody by itself');
update public.crisis_policies set page_categories = '{abuse}' where organization_id = tests.organization('alder');
select tests.act('vigil', replace(tests.raise_command('abuse pages', '0'), md5('assessment assisted')::uuid::text, md5('assessment of abuse')::uuid::text));
select tests.act('vigil', replace(tests.raise_command('harm is off', '0'), md5('assessment assisted')::uuid::text, md5('assessment of harm')::uuid::text));
select tests.act('vigil', tests.raise_command('self-harm is off', '6'));
select is(
  concat_ws(', ', tests.paged('abuse pages'), tests.paged('harm is off'), tests.paged('self-harm is off')), '1 0 pending 0 t',
  'unless the policy says that it does; and it says what does not'
);
update public.crisis_policies set page_categories = default where organization_id = tests.organization('alder');
update public.crisis_policies set page_at_level = 2 where organization_id = tests.organization('alder');
select tests.act('vigil', tests.raise_command('level ' || l || ' at 2', l)) from unnest(array['1', '2']) as l;
select is(tests.paged('level 1 at 2'), null, 'a policy that pages earlier: below it, none');
select is(tests.paged('level 2 at 2'), '1 2 pending 0 t', 'from it on');
delete from public.crisis_policies where organization_id = tests.organization('alder');
select tests.act('vigil', tests.raise_command('level ' || l || ' by default', l)) from unnest(array['3', '4']) as l;
select is(tests.paged('level 3 by default'), null, 'without a policy: the default''s level');
select is(tests.paged('level 4 by default'), '1 4 pending 0 t', 'from it on');

-- An alert is open again: whoever took it is gone.
create function tests.take_and_go(alerts text[]) returns void language plpgsql as $$
begin
  perform tests.act('vigil', format($c$insert into public.alert_events (alert_id, organization_id, session_id, kind, version)
    values (%L, %L, %L, 'raised', 1)$c$, tests.alert(name), tests.organization('alder'), tests.session('assisted')))
  from unnest(alerts) name where not exists (select from public.alert_events v where v.alert_id = tests.alert(name));
  perform tests.act('theo', format('select public.acknowledge_alert(%L, %s)', a.id, a.version))
  from unnest(alerts) name join public.alerts a on a.id = tests.alert(name);
  perform tests.act('ada', 'update public.memberships set ended_at = now() where user_id = tests.id(''theo'')');
  perform tests.act('ada', 'update public.memberships set ended_at = null where user_id = tests.id(''theo'')');
end
$$;
savepoint reopening;
select tests.take_and_go(array['assisted', 'level 3', 'level null', 'unknown again', 'harm to others']);
select is(tests.paged('assisted'), '1 4 pending 0 t, 2 4 pending 0 t', 'reopened: paged again, as the next step');
select is(tests.paged('level 3'), null, 'not what deserved no page');
select is(tests.paged('harm to others'), '1 0 pending 0 t, 2 0 pending 0 t', 'a danger to others again');
select is(concat(tests.paged('level null'), ', ', tests.paged('unknown again')), '1 failed 0 t, ', 'what could not be assessed, of which another was paged within the hour: not');
select tests.take_and_go(array['assisted']);
select is(tests.paged('assisted'), '1 4 pending 0 t, 2 4 pending 0 t, 3 4 pending 0 t', 'reopened once more: the next again');
rollback to reopening;
select tests.take_and_go(array['unknown, unsent']);
select is(tests.paged('unknown, unsent'), '1 pending 0 t, 2 pending 0 t', 'its own page keeps none of them silent');
rollback to reopening;

-- How it goes.
select * from tests.matrix(array[
  array['vigil', 'update public.alert_pages set alert_id = alert_id', '42501'],
  array['vigil', 'update public.alert_pages set level = 0', '42501'],
  array['vigil', $$update public.alert_pages set last_error = 'The server said: no such person, olive@example.invalid'$$, '23514'],
  array['vigil', $$update public.alert_pages set status = 'sent'$$, '23514'],
  array['vigil', $$update public.alert_pages set status = 'resolved'$$, '23514'],
  array['postgres', 'update public.alert_pages set level = 0', 'VG015']
]);
select tests.act('vigil', format($$update public.alert_pages set attempts = 1, last_error = 'http_503', next_attempt_at = now() + interval '1 minute' where alert_id = %L$$, tests.alert('assisted')));
select tests.act('vigil', format($$update public.alert_pages set status = 'failed', attempts = 2, last_error = 'http_400' where alert_id = %L$$, tests.alert('assisted')));
select is(tests.attempt('vigil', format('update public.alert_pages set attempts = 3 where alert_id = %L', tests.alert('assisted'))), '0', 'a failed one is left alone');
update public.alert_pages set status = 'pending' where alert_id = tests.alert('assisted');
select tests.act('vigil', format($$update public.alert_pages set status = 'sent', attempts = 3, last_error = null, sent_at = now() where alert_id = %L$$, tests.alert('assisted')));
select is(tests.attempt('postgres', format('update public.alert_pages set status = ''pending'' where alert_id = %L', tests.alert('assisted'))), 'VG015', 'a sent one stands');
select results_eq(
  $$select details from public.audit_log where subject_table = 'alert_pages' and subject_id like tests.alert('assisted') || '/%' order by seq$$,
  $$values ('{"status": "failed", "attempts": 2, "last_error": "http_400"}'::jsonb), ('{"status": "pending"}'),
    ('{"status": "sent", "attempts": 3, "last_error": null}')$$,
  'every change of status is audited'
);

-- What it was sent by: once each, and to ids only.
select is(
  tests.attempt('service_role', format('insert into public.alert_page_deliveries (alert_id, step, channel, recipient) values (%L, %s, %L, %L)',
    tests.alert('assisted'), step, channel, recipient)),
  code, what
)
from (values
  (1, 'webhook', '', '23505', 'a channel is claimed once'),
  (2, 'webhook', '', '23503', 'for a page that there is'),
  (1, 'sms', '', '23514', 'by a channel we know'),
  (1, 'email', '', '23514', 'an e-mail is somebody''s'),
  (1, 'email', 'olive@example.invalid', '23514', 'named by id, never by address'),
  (1, 'webhook', tests.id('olive')::text, '23514', 'a webhook is nobody''s'),
  (1, 'email', tests.id('olive')::text, '1', 'an e-mail to each')
) as d (step, channel, recipient, code, what);

select * from finish();
rollback;
