-- Participants and clinicians read; every change is an RPC.
begin;
\ir fixtures/people.sql
select no_plan();

select * from tests.commands(
  $$ select from public.sessions $$,
  $$ insert into public.sessions (organization_id, mode) values (tests.organization('alder'), 'strict') $$,
  $$ update public.sessions set status = 'ended' $$,
  $$ delete from public.sessions $$,
    array[
    array['anon', '42501', '42501', '42501', '42501'],
    array['nobody', '0', '42501', '42501', '42501'],
    array['olive', '0', '42501', '42501', '42501'],
    array['ada', '0', '42501', '42501', '42501'],
    array['theo at aal1', '0', '42501', '42501', '42501'],
    array['clio', '2', '42501', '42501', '42501'],
    array['theo', '2', '42501', '42501', '42501'],
    array['sunny', '2', '42501', '42501', '42501'],
    array['bram', '1', '42501', '42501', '42501'],
    array['vigil', '3', '42501', '42501', '42501'],
    array['service_role', '3', '42501', '42501', '42501']
  ]
);

-- Whom an unresolved alert reached sees that session, until it is resolved.
\ir fixtures/alert.sql
select is(tests.attempt('olive', 'select from public.sessions'), '1', 'on call: the session of an open alert');
select is(tests.attempt('olive at aal1', 'select from public.sessions'), '0', 'on call, but without the second factor: nothing');
-- private.participation(session) is private.sessions_of_participant() for one session, and private.attends(session)
-- private.sessions_of_clinician().
create function tests.disagrees(who text, session uuid) returns text language plpgsql as $$
declare
  one boolean[];
  many boolean[];
begin
  perform tests.become(who);
  perform set_config('role', 'none', true);
  one := array[private.participation(session) is not null, private.attends(session)];
  many := array[session in (select private.sessions_of_participant()), session in (select private.sessions_of_clinician())];
  perform tests.become_tester();
  return case when one is distinct from many then format('%s is not %s', one, many) end;
end
$$;
create view tests.rules as
select p.name || a.aal as who, s.name as session, tests.disagrees(p.name || a.aal, tests.session(s.name)) as fault
from tests.people p, unnest(array['', ' at aal1']) as a (aal), unnest(array['strict', 'assisted', 'theirs']) as s (name);
select is(r.fault, null, format('%s, session %s: one rule, while an alert is open', r.who, r.session)) from tests.rules r;
select tests.act('theo', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.attempt('olive', 'select from public.sessions'), '0', 'on call: no more once the alert is resolved');

select is(r.fault, null, format('%s, session %s: one rule', r.who, r.session)) from tests.rules r;
update public.session_participants set ended_at = now() where user_id = tests.id('theo');
update public.memberships set role = 'admin' where user_id = tests.id('sunny');
update public.memberships set ended_at = now() where user_id = tests.id('bram');
select is(r.fault, null, format('%s, session %s: one rule, of rights that ended', r.who, r.session)) from tests.rules r;
delete from auth.sessions;
select is(r.fault, null, format('%s, session %s: one rule, signed out', r.who, r.session)) from tests.rules r;
select is(count(*), 0::bigint, 'signed out: no session of anybody') from tests.people p, unnest(array['strict', 'assisted', 'theirs']) as s
where tests.attempt(p.name, format('select from public.sessions where id = %L', tests.session(s))) <> '0';

select * from finish();
rollback;
