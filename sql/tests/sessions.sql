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
select tests.act('theo', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.attempt('olive', 'select from public.sessions'), '0', 'on call: no more once the alert is resolved');

-- private.participation(session) is private.sessions_of_participant() for one session.
create function tests.agrees(who text, session uuid) returns boolean language plpgsql as $$
declare
  one boolean;
  many boolean;
begin
  perform tests.become(who);
  perform set_config('role', 'none', true);
  one := private.participation(session) is not null;
  many := session in (select private.sessions_of_participant());
  perform tests.become_tester();
  return one = many;
end
$$;
select ok(tests.agrees(p.name || aal, tests.session(s)), format('%s%s, session %s: one rule', p.name, aal, s))
from tests.people p, unnest(array['', ' at aal1']) aal, unnest(array['strict', 'assisted', 'theirs']) s;

select * from finish();
rollback;
