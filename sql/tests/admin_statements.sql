-- The thirty-three statements of sql/README.md, word for word (server/e2e/sql_test.go compares), as an operator runs them: role postgres.
-- Each is executed, and its effect looked at.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
values (tests.organization('alder'), tests.id('theo'), '2020-01-01', '2100-01-01');
select tests.act('theo', format('select public.acknowledge_alert(%L, 1)', tests.alert('assisted')));
grant execute on all functions in schema extensions to postgres;
select plan(66);
set local role postgres;

select lives_ok($admin$
select private.found_organization('Elm practice', 'nobody@example.invalid');
$admin$, '1. Found an organisation, with its first admin');
select is((select count(*) from public.organizations where name = 'Elm practice')::text, '1', '1. what it did');

select lives_ok($admin$
insert into public.memberships (organization_id, user_id, role)
select o.id, u.id, 'therapist'
from public.organizations o, auth.users u
where o.name = 'Alder practice' and u.email = 'nobody@example.invalid';
$admin$, '2. Take somebody in');
select is((select role from public.memberships where user_id = tests.id('nobody') and organization_id = tests.organization('alder'))::text, 'therapist', '2. what it did');

select lives_ok($admin$
update public.memberships set role = 'supervisor'
where organization_id = (select id from public.organizations where name = 'Alder practice')
  and user_id = (select id from auth.users where email = 'olive@example.invalid');
$admin$, '3. Make somebody a supervisor');
select is((select role from public.memberships where user_id = tests.id('olive'))::text, 'supervisor', '3. what it did');

select lives_ok($admin$
update public.memberships set ended_at = now()
where organization_id = (select id from public.organizations where name = 'Alder practice')
  and user_id = (select id from auth.users where email = 'theo@example.invalid');
$admin$, '4. End a membership');
select is((select string_agg(status || ' ' || version, ',') from public.alerts where id = tests.alert('assisted'))::text, 'open 3', '4. what it did');

select lives_ok($admin$
select o.name, u.email, s.starts_at, s.ends_at
from public.oncall_shifts s
join public.organizations o on o.id = s.organization_id
join auth.users u on u.id = s.user_id
where s.flagged_at is not null and s.ends_at > now()
order by s.starts_at;
$admin$, '5. Find the shifts that somebody else must take');
select is((select count(*) from public.oncall_shifts where flagged_at is not null)::text, '1', '5. what it did');

select lives_ok($admin$
with given as (
  delete from public.oncall_shifts
  where flagged_at is not null
    and user_id = (select id from auth.users where email = 'theo@example.invalid')
  returning organization_id, starts_at, ends_at
)
insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
select given.organization_id, u.id, given.starts_at, given.ends_at
from given, auth.users u
where u.email = 'sunny@example.invalid';
$admin$, '6. Hand such a shift to somebody else');
select is((select count(*) filter (where flagged_at is not null) || ' ' || count(*) filter (where user_id = tests.id('sunny')) from public.oncall_shifts)::text, '0 1', '6. what it did');

select lives_ok($admin$
update public.memberships set ended_at = null
where organization_id = (select id from public.organizations where name = 'Alder practice')
  and user_id = (select id from auth.users where email = 'theo@example.invalid');
$admin$, '7. Take somebody back in');
select is((select count(*) from public.memberships where ended_at is not null)::text, '0', '7. what it did');

select lives_ok($admin$
insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
select o.id, u.id, '2030-06-01 18:00+00', '2030-06-02 08:00+00'
from public.organizations o, auth.users u
where o.name = 'Alder practice' and u.email = 'olive@example.invalid';
$admin$, '8. Put somebody on call');
select is((select count(*) from public.oncall_shifts where user_id = tests.id('olive'))::text, '1', '8. what it did');

select lives_ok($admin$
update public.crisis_policies set page_at_level = 3
where organization_id = (select id from public.organizations where name = 'Alder practice');
$admin$, '9. Page earlier');
select is((select page_at_level || ' version ' || version from public.crisis_policies where organization_id = tests.organization('alder'))::text, '3 version 2', '9. what it did');

select lives_ok($admin$
update public.organizations set suggestions = 'on_demand'
where name = 'Alder practice';
$admin$, '10. Let clinicians ask for suggestions');
select is((select suggestions from public.organizations where name = 'Alder practice')::text, 'on_demand', '10. what it did');

select lives_ok($admin$
update public.organizations set require_aal2 = false
where name = 'Alder practice';
$admin$, '11. Do without the second factor');
select is((select require_aal2::text from public.organizations where name = 'Alder practice')::text, 'false', '11. what it did');

select lives_ok($admin$
select o.name, a.id, a.level, a.raised_at, now() - a.raised_at as waiting
from public.alerts a
join public.organizations o on o.id = a.organization_id
where a.status = 'open'
order by a.level desc nulls first, a.raised_at;
$admin$, '12. See which alerts nobody has acknowledged, the gravest and oldest first');
select is((select count(*) from public.alerts where status = 'open')::text, '2', '12. what it did');

select lives_ok($admin$
select e.created_at, e.kind, e.version, p.display_name
from public.alert_events e
left join public.profiles p on p.user_id = e.actor_id
where e.alert_id = (select id from public.alerts order by raised_at desc limit 1)
order by e.version;
$admin$, '13. See who did what about an alert');
select is((select count(*) from public.alert_events where alert_id = tests.alert('assisted'))::text, '3', '13. what it did');

select lives_ok($admin$
select session_id, position, reason, created_at
from public.assessments
where status = 'not_assessed' and superseded_at is null
order by created_at desc;
$admin$, '14. See what could not be assessed, and why');
select is((select count(*) from public.assessments where status = 'not_assessed')::text, '0', '14. what it did');

select lives_ok($admin$
select c.session_id, c.last_assisted_position - p.assessed_position as behind, p.updated_at
from public.session_counters c
join public.session_progress p on p.session_id = c.session_id
where c.last_assisted_position > p.assessed_position
order by p.updated_at;
$admin$, '15. See which sessions wait for the sidecar');
select is((select count(*) from public.session_counters c join public.session_progress p using (session_id) where c.last_assisted_position > p.assessed_position)::text, '2', '15. what it did');

select lives_ok($admin$
update public.devices set revoked_at = now()
where user_id = (select id from auth.users where email = 'clio@example.invalid')
  and revoked_at is null;
$admin$, '16. Revoke somebody''s lost devices');
select is((select count(*) from public.devices where revoked_at is not null)::text, '1', '16. what it did');

select lives_ok($admin$
delete from auth.sessions
where user_id = (select id from auth.users where email = 'clio@example.invalid');
$admin$, '17. Sign somebody out everywhere, at once');
select is((select count(*) from public.ended_logins where user_id = tests.id('clio'))::text, '1', '17. what it did');

select lives_ok($admin$
update public.sessions set status = 'ended'
where status in ('active', 'paused')
  and mode = 'strict'
  and started_at < now() + interval '1 day';
$admin$, '18. End a session that was left open');
select is((select status from public.sessions where id = tests.session('strict'))::text, 'ended', '18. what it did');

select lives_ok($admin$
delete from public.messages
where id = (select message_id from public.alerts order by raised_at, id limit 1);
$admin$, '19. Erase a message, and all that was derived from it');
select is((select count(*) from public.alerts)::text, '1', '19. what it did');

select lives_ok($admin$
select o.name, private.first_broken_audit(o.id) as first_broken
from public.organizations o
order by o.name;
$admin$, '20. Check that nobody has rewritten the audit log');
select is((select count(private.first_broken_audit(id)) from public.organizations)::text, '0', '20. what it did');

select lives_ok($admin$
update public.organizations set suggestions = 'elevated'
where name = 'Alder practice';
$admin$, '21. Let suggestions come unasked, too, from the crisis policy''s review_at_level up');
select is((select suggestions from public.organizations where name = 'Alder practice'), 'elevated', '21. what it did');

select lives_ok($admin$
insert into public.model_routes (organization_id, task, provider, model)
select id, 'suggest', 'openai', 'small-model' from public.organizations where name = 'Alder practice'
on conflict (organization_id, task) do update set model = excluded.model, enabled = true;
$admin$, '22. Name the model that may be asked for suggestions, where the client has consented to external_models');
select is((select model || ' ' || enabled from public.model_routes)::text, 'small-model true', '22. what it did');

select lives_ok($admin$
select o.name, p.alert_id, p.step, p.level, p.status, p.attempts, p.last_error, p.next_attempt_at
from public.alert_pages p
join public.organizations o on o.id = p.organization_id
where p.status <> 'sent'
order by p.level desc, p.created_at;
$admin$, '23. See which pages were not sent, the gravest and oldest first');
select is((select count(*) from public.alert_pages where status <> 'sent')::text, '2', '23. what it did: an alert that was reopened has two');

update public.alert_pages set status = 'failed', last_error = 'http_400';
select lives_ok($admin$
update public.alert_pages set status = 'pending', next_attempt_at = now()
where status = 'failed';
$admin$, '24. Try the pages again that were given up');
select is((select string_agg(status || ' ' || last_error, ',') from public.alert_pages), 'pending http_400,pending http_400', '24. what it did');

insert into public.suggestions (organization_id, session_id, message_id, requested_by, status)
values (tests.organization('alder'), tests.session('strict'), tests.message('clio', tests.session('strict'), 0), tests.id('theo'), 'requested');
select lives_ok($admin$
update public.organizations set suggestions = 'off'
where name = 'Alder practice';
$admin$, '25. Turn suggestions off');
select is((select string_agg(status, ',') from public.suggestions), 'withdrawn', '25. what it did');

select lives_ok($admin$
update public.crisis_policies set
  page_categories = '{self_harm,harm_others,abuse}',
  page_least_self_harm = 0.3,
  page_least_harm_others = 0.5
where organization_id = (select id from public.organizations where name = 'Alder practice');
$admin$, '26. Page for abuse too, and only where it is probable');
select is((select version || ' ' || array_to_string(page_categories, ' ') from public.crisis_policies where organization_id = tests.organization('alder'))::text,
  '3 self_harm harm_others abuse', '26. what it did');

select lives_ok($admin$
update public.crisis_policies set
  quiet_rules = quiet_rules || '{wish.burden}',
  review_rules = review_rules || '{topic.domestic-violence}'
where organization_id = (select id from public.organizations where name = 'Alder practice');
$admin$, '27. Have a rule page nobody by itself, and another always reviewed');
select is((select version || ' ' || quiet_rules[1] || ' ' || review_rules[1] from public.crisis_policies where organization_id = tests.organization('alder'))::text,
  '4 wish.burden topic.domestic-violence', '27. what it did');

select lives_ok($admin$
insert into public.topic_terms (organization_id, topic, term, language)
select o.id, t.topic, t.term, t.language
from public.organizations o,
  (values ('night-shift', 'night rota', 'en'), ('night-shift', 'nights', 'en'), ('exams', 'finals', '')) as t (topic, term, language)
where o.name = 'Alder practice'
on conflict do nothing;
$admin$, '28. Teach the detector the practice''s own topics');
select is((select version || ' ' || terms_version from public.crisis_policies where organization_id = tests.organization('alder'))::text, '5 5', '28. what it did');

insert into public.assessments (organization_id, session_id, message_id, position, source, status, level, escalate)
select a.organization_id, a.session_id, a.message_id, a.position, 'another', 'assessed', 1, true
from public.assessments a where a.id = md5('assessment assisted')::uuid;
select lives_ok($admin$
select a.session_id, a.position, a.level, a.risk_score, a.topics, a.created_at
from public.assessments a
join public.organizations o on o.id = a.organization_id
where o.name = 'Alder practice'
  and a.escalate and not a.alert and a.superseded_at is null
  and a.created_at > now() - interval '7 days'
order by a.risk_score desc nulls first, a.created_at;
$admin$, '29. The review list');
select is((select count(*) from public.assessments a where a.escalate and not a.alert and a.superseded_at is null)::text, '1', '29. what it did');

insert into public.erasures (organization_id, kind, session_id, requested_by)
values (tests.organization('alder'), 'session', tests.session('strict'), tests.id('clio'));
select lives_ok($admin$
select o.name, e.id, e.kind, e.session_id, e.person_id, e.status, e.objects_left, e.created_at
from public.erasures e
join public.organizations o on o.id = e.organization_id
where e.status <> 'done'
order by e.created_at;
$admin$, '30. See which erasures are asked for');
select is((select count(*) from public.erasures where status <> 'done')::text, '1', '30. what it did');

select lives_ok($admin$
select private.erase_session(e.session_id)
from public.erasures e
where e.kind = 'session' and e.status = 'requested'
order by e.created_at;
$admin$, '31. Erase the sessions that their clients asked to have erased');
select is((select e.status || ' ' || (select count(*) from public.messages m where m.session_id = e.session_id) from public.erasures e)::text, 'shredded 0', '31. what it did');

select lives_ok($admin$
with former as (
  update public.consent_texts set retired_at = now()
  where organization_id = (select id from public.organizations where name = 'Alder practice')
    and retired_at is null and 'analysis' = any (scope) and language = 'en'
)
insert into public.consent_texts (organization_id, scope, language, body)
select id, '{analysis,crisis_access}', 'en', 'What is written in this session is read by a computer program …'
from public.organizations where name = 'Alder practice';
$admin$, '32. Publish the text that clients consent to');
select is((select version || ' ' || array_to_string(scope, ',') from public.consent_texts where retired_at is null)::text, '1 analysis,crisis_access', '32. what it did');

select private.append_audit(tests.organization('alder'), 'refuse', 'messages', md5('m')::uuid::text, '{"reason": "signature"}');
select lives_ok($admin$
select o.name, l.at, l.actor_id, l.subject_table, l.subject_id, l.details ->> 'reason' as reason
from public.audit_log l
join public.organizations o on o.id = l.organization_id
where l.action = 'refuse' and l.at > now() - interval '7 days'
order by l.at desc;
$admin$, '33. See what people''s devices refused');
select is((select count(*) from public.audit_log where action = 'refuse')::text, '1', '33. what it did');

reset role;
select * from finish();
rollback;
