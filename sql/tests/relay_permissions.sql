-- Who may do what on a topic, asked as the sidecar asks: as role vigil, two statements in one transaction.
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
select no_plan();

-- The grant as four letters: broadcast receive and send, presence receive and send; `-` where not.
create function tests.granted(who text, topic text) returns text language plpgsql as $$
declare
  person tests.people;
  answer text;
begin
  select * into person from tests.people p where p.name = split_part(who, ' at ', 1);
  perform set_config('role', 'vigil', true);
  perform set_config('role', 'authenticated', true),
    set_config('request.jwt.claims', json_build_object('sub', person.id, 'role', 'authenticated', 'session_id', person.login,
      'aal', coalesce(nullif(split_part(who, ' at ', 2), ''), 'aal2'))::text, true),
    set_config('relay.topic', topic, true);
  select concat(
    case when bool_or(extension = 'broadcast' and action = 'receive') then 'r' else '-' end,
    case when bool_or(extension = 'broadcast' and action = 'send') then 's' else '-' end,
    case when bool_or(extension = 'presence' and action = 'receive') then 'r' else '-' end,
    case when bool_or(extension = 'presence' and action = 'send') then 's' else '-' end
  ) into answer from relay.permissions;
  perform tests.become_tester();
  perform set_config('relay.topic', '', true);
  return answer;
end
$$;

select is(tests.granted(who, replace(topic, '<assisted>', tests.session('assisted')::text)), want, format('%s on %s', who, topic))
from (values
  -- session: refusals first
  ('nobody', 'session:<assisted>', '----'), ('bram', 'session:<assisted>', '----'), ('brook', 'session:<assisted>', '----'),
  ('bella', 'session:<assisted>', '----'), ('ada', 'session:<assisted>', '----'), ('theo at aal1', 'session:<assisted>', '----'),
  ('sunny at aal1', 'session:<assisted>', '----'), ('olive at aal1', 'session:<assisted>', '----'),
  ('clio', 'session:<assisted>', 'rsrs'), ('clio at aal1', 'session:<assisted>', 'rsrs'), ('theo', 'session:<assisted>', 'rsrs'),
  ('sunny', 'session:<assisted>', 'r-rs'), ('olive', 'session:<assisted>', 'r-rs'),
  -- care
  ('nobody', 'care:<assisted>', '----'), ('clio', 'care:<assisted>', '----'), ('bram', 'care:<assisted>', '----'), ('ada', 'care:<assisted>', '----'),
  ('theo at aal1', 'care:<assisted>', '----'), ('theo', 'care:<assisted>', 'r-rs'), ('sunny', 'care:<assisted>', 'r-rs'), ('olive', 'care:<assisted>', 'r-rs'),
  -- spellings that are not the topic
  ('clio', 'session:', '----'), ('clio', 'session', '----'), ('clio', '', '----'), ('clio', 'session:*', '----'), ('clio', 'session:<assisted> ', '----'),
  ('clio', 'session:<assisted>:x', '----'), ('clio', 'realtime:session:<assisted>', '----'), ('clio', 'SESSION:<assisted>', '----'),
  ('clio', 'session:{<assisted>}', '----'), ('clio', E'session:<assisted>\n', '----'), ('clio', 'other:<assisted>', '----'), ('clio', 'session:null', '----')
) as t (who, topic, want);
select is(tests.granted('clio', 'session:' || upper(tests.session('assisted')::text)), '----', 'one session has one topic: no capitals');
select is(tests.granted('clio', 'session:' || gen_random_uuid()), '----', 'a session that is not there');
select is(tests.granted('olive', 'session:' || tests.session('strict')), '----', 'on call sees the alert''s session only');

select is(tests.granted(who, 'inbox:' || tests.id(whose)), want, format('%s on the inbox of %s', who, whose))
from (values ('nobody', 'nobody', '----'), ('clio', 'clio', '----'), ('theo', 'olive', '----'), ('sunny', 'theo', '----'), ('theo at aal1', 'theo', '----'),
  ('theo', 'theo', 'r---'), ('olive', 'olive', 'r---'), ('ada', 'ada', 'r---')) as t (who, whose, want);

select is(tests.granted(who, 'org:' || tests.organization('alder')), want, format('%s on the organisation', who))
from (values ('nobody', '----'), ('clio', '----'), ('theo', '----'), ('ada', '----'), ('bella', '----'), ('sunny at aal1', '----'), ('sunny', 'r---')) as t (who, want);

-- Revoked: asked again, the answer is no.
select tests.act('theo', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select is(tests.granted('olive', 'care:' || tests.session('assisted')), '----', 'on call: no more once the alert is resolved');
savepoint revoked;
update public.memberships set ended_at = now() where user_id in (tests.id('clio'), tests.id('sunny'));
select is(tests.granted('clio', 'session:' || tests.session('assisted')), '----', 'membership ended: session');
select is(tests.granted('sunny', 'org:' || tests.organization('alder')), '----', 'membership ended: organisation');
rollback to revoked;
update public.session_participants set ended_at = now() where user_id = tests.id('clio');
select is(tests.granted('clio', 'session:' || tests.session('assisted')), '----', 'participant ended');
rollback to revoked;
delete from auth.sessions where id = tests.login('clio');
select is(tests.granted('clio', 'session:' || tests.session('assisted')), '----', 'login ended');
rollback to revoked;
update public.organizations set require_aal2 = false;
select is(tests.granted('theo at aal1', 'care:' || tests.session('assisted')), 'r-rs', 'an organisation may do without the second factor');
rollback to revoked;

-- Nobody writes the table, and only one who may sign in reads it.
select * from tests.matrix(array[
  array['anon', 'select from relay.permissions', '42501'],
  array['vigil', 'select from relay.permissions', '42501'],
  array['clio', $$insert into relay.permissions values ('broadcast', 'receive')$$, '42501'],
  array['clio', 'delete from relay.permissions', '42501'],
  array['clio', 'update relay.permissions set action = action', '42501'],
  array['clio', 'select from relay.permissions', '0']
]);

-- The two doors agree: who may receive on a topic is who may select its rows.
select is(
  tests.granted(p.name, 'session:' || tests.session(s)) like 'r%',
  tests.attempt(p.name, format('select from public.messages where session_id = %L', tests.session(s))) = '1',
  format('%s: the topic session:%s and the rows of messages agree', p.name, s)
) from tests.people p, unnest(array['strict', 'assisted', 'theirs']) s;
select is(
  tests.granted(p.name, 'care:' || tests.session(s)) like 'r%',
  tests.attempt(p.name, format('select from public.alerts where session_id = %L', tests.session(s))) = '1',
  format('%s: the topic care:%s and the rows of alerts agree', p.name, s)
) from tests.people p, unnest(array['assisted', 'theirs']) s;

select * from finish();
rollback;
