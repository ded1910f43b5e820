-- The only way an alert changes state: who may take which step, and that nothing else changes one.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

create function tests.event_command(kind text, version int) returns text language sql stable as $$
  select format(
    'insert into public.alert_events (alert_id, organization_id, session_id, kind, version) values (%L, %L, %L, %L, %s)',
    tests.alert('assisted'), tests.organization('alder'), tests.session('assisted'), kind, version
  )
$$;

select * from tests.commands(
  'select from public.alert_events', tests.event_command('acknowledged', 2), 'update public.alert_events set actor_id = null', 'delete from public.alert_events',
  array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['clio', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['theo', '1', '42501', '42501', '42501'],
    array['olive', '1', '42501', '42501', '42501'],
    array['sunny', '1', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['service_role', '2', '42501', '42501', '42501'],
    array['vigil', '2', '42501', '42501', '42501'],
    array['postgres', '2', '1', 'VG015', '2']
  ]
);

-- The sidecar raises, once, and takes no other step.
select * from tests.matrix(array[
  array['vigil', tests.event_command('resolved', 2), '42501'],
  array['vigil', tests.event_command('raised', 1), '23505'],
  array['vigil', tests.event_command('raised', 2), '23505'],
  array['vigil', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted')), '42501'],
  array['vigil', 'update public.alerts set status = ''resolved''', '42501'],
  array['vigil', replace(tests.event_command('raised', 1), tests.alert('assisted')::text, gen_random_uuid()::text), '23503']
]);

-- Who may acknowledge and resolve.
select is(tests.attempt(who, format('select public.%s(%L, 1)', verb, tests.alert('assisted'))), code, format('%s: %s', who, verb))
from (values ('anon', '42501'), ('service_role', '42501'), ('nobody', 'PT404'), ('clio', 'PT404'), ('ada', 'PT404'), ('bram', 'PT404'),
  ('theo at aal1', 'PT404'), ('theo', '1'), ('sunny', '1'), ('olive', '1')) as p (who, code),
  unnest(array['acknowledge_alert', 'resolve_alert']) as v (verb);
select is(tests.attempt('theo', 'select public.acknowledge_alert(gen_random_uuid(), 1)'), 'PT404', 'an alert that is not there');

-- Optimistic versions.
select is(tests.attempt('theo', format('select public.acknowledge_alert(%L, 0)', tests.alert('assisted'))), 'PT409', 'a version behind');
select is(tests.attempt('theo', format('select public.acknowledge_alert(%L, 2)', tests.alert('assisted'))), 'PT409', 'a version ahead');
select is(tests.attempt('theo', format('select public.acknowledge_alert(%L, null)', tests.alert('assisted'))), 'PT409', 'no version');
select is(
  tests.read('olive', format('select status || '' '' || version from public.acknowledge_alert(%L, 1)', tests.alert('assisted'))), 'acknowledged 2',
  'acknowledging gives the alert as it is now'
);
select is(tests.attempt('theo', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted'))), 'PT409', 'who comes second is told so');
select is(
  tests.detail('theo', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted'))), '{"status": "acknowledged", "version": 2}', 'with what it is now'
);
select is(tests.attempt('theo', format('select public.acknowledge_alert(%L, 2)', tests.alert('assisted'))), 'PT409', 'it is acknowledged once');
select tests.act('theo', format('select public.resolve_alert(%L, 2)', tests.alert('assisted')));
select is(tests.attempt('theo', format('select public.resolve_alert(%L, 3)', tests.alert('assisted'))), 'PT409', 'it is resolved once');
select is(tests.attempt('postgres', tests.event_command('reopened', 4)), 'PT409', 'a resolved alert stays resolved');
select results_eq(
  'select kind, version, actor_id from public.alert_events where alert_id = tests.alert(''assisted'') order by version',
  format($$values ('raised', 1, null::uuid), ('acknowledged', 2, %L), ('resolved', 3, %L)$$, tests.id('olive'), tests.id('theo')), 'every step is an event with its actor'
);
select results_eq(
  $$select details ->> 'kind', actor_id from public.audit_log where subject_table = 'alert_events' and organization_id = tests.organization('alder') order by seq$$,
  format($$values ('raised', null::uuid), ('acknowledged', %L), ('resolved', %L)$$, tests.id('olive'), tests.id('theo')), 'and an entry of the audit log'
);
select is(
  (select actor_kind from public.audit_log where subject_table = 'alert_events' and details ->> 'kind' = 'acknowledged'), 'user', 'which says what kind of actor'
);
select is(count(*), 2::bigint, 'recipients'' right to the session has ended') from public.alert_recipients
where alert_id = tests.alert('assisted') and ended_at is not null;

select * from finish();
rollback;
