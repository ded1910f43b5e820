-- Who may do what on a topic, asked as the sidecar asks: as role vigil, by private.permissions_of().
begin;
\ir fixtures/people.sql
\ir fixtures/alert.sql
\ir fixtures/suggestion.sql
select no_plan();

-- The claims that a person's token carries; `name at aal1` for another level than aal2.
create function tests.claims(who text) returns text language sql as $$
  select json_build_object('sub', p.id, 'role', 'authenticated', 'session_id', p.login, 'aal', coalesce(nullif(split_part(who, ' at ', 2), ''), 'aal2'))::text
  from tests.people p
  where p.name = split_part(who, ' at ', 1)
$$;

-- What vigil is told, question by question. What the call sets lasts as long as its transaction: it is taken back here.
create function tests.asked(claims text[], topics text[]) returns text[] language plpgsql as $$
begin
  perform set_config('role', 'vigil', true);
  raise exception using errcode = 'TA001', message = array(select private.permissions_of(claims, topics))::text;
exception when sqlstate 'TA001' then
  return sqlerrm::text[];
end
$$;

-- The grant as four letters: broadcast receive and send, presence receive and send; `-` where not.
create function tests.letters(answer text) returns text language sql as $$
  select string_agg(case when pair = any (string_to_array(answer, ',')) then letter else '-' end, '' order by place)
  from (values (1, 'broadcast.receive', 'r'), (2, 'broadcast.send', 's'), (3, 'presence.receive', 'r'), (4, 'presence.send', 's')) as t (place, pair, letter)
$$;

create function tests.granted(who text, topic text) returns text language sql as $$
  select tests.letters((tests.asked(array[tests.claims(who)], array[topic]))[1])
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

-- Asked together, nobody gets another's answer.
select is(
  array(select tests.letters(a.pairs) from unnest(tests.asked(
    array[tests.claims('clio'), tests.claims('bram'), tests.claims('theo'), tests.claims('theo at aal1'), tests.claims('clio'), tests.claims('sunny')],
    array(select k || ':' || tests.session('assisted') from unnest('{session,session,care,care,care,session}'::text[]) with ordinality as t (k, n) order by n)
  )) with ordinality as a (pairs, n) order by a.n),
  array['rsrs', '----', 'r-rs', '----', '----', 'r-rs'], 'six who ask together'
);
select is(tests.asked('{}', '{}'), '{}', 'nobody asks');
select throws_ok($$select tests.asked(array['{}'], '{}')$$, '22023', 'as many claims as topics', 'a topic is missing');
select throws_ok($$select tests.asked(array['{"sub":"no uuid"}'], array['org:' || tests.organization('alder')])$$, '22P02', null, 'claims that are none are an error, not an answer');

-- Revoked: asked again, the answer is no.
savepoint alerted;
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

-- A policy may be for another role that one who signs in is a member of. When they are no more, the connection that has asked before
-- does not go on by its old plan.
savepoint warded;
create role ward;
do $$
begin
  if current_setting('server_version_num')::int >= 160000 then
    execute 'grant ward to authenticated with inherit true';
  else
    alter role authenticated inherit;
    grant ward to authenticated;
  end if;
end
$$;
create policy "wards follow organisations" on relay.permissions for select to ward
  using ((select relay.topic_kind()) = 'org' and (extension, action) = ('broadcast', 'receive'));
select is(tests.granted('theo', 'org:' || tests.organization('alder')), 'r---', 'a member of a role is under its policies');
revoke ward from authenticated;
select is(tests.granted('theo', 'org:' || tests.organization('alder')), '----', 'and no more, once that has ended');
alter role authenticated bypassrls;
select is(tests.granted('nobody', 'org:' || tests.organization('alder')), 'rsrs', 'a role that passes policies by is under none');
alter role authenticated nobypassrls;
select is(tests.granted('nobody', 'org:' || tests.organization('alder')), '----', 'and under all again');
rollback to warded;

-- Nobody writes the table, and only one who may sign in reads it.
select * from tests.matrix(array[
  array['anon', 'select from relay.permissions', '42501'],
  array['vigil', 'select from relay.permissions', '42501'],
  array['clio', $$select private.permissions_of('{}', '{}')$$, '42501'],
  array['clio', $$insert into relay.permissions values ('broadcast', 'receive')$$, '42501'],
  array['clio', 'delete from relay.permissions', '42501'],
  array['clio', 'update relay.permissions set action = action', '42501'],
  array['clio', 'select from relay.permissions', '0']
]);

-- The two doors agree, for every table whose rows are relayed: who receives on a topic may read each row that is sent there. Where
-- `only_there`, nobody else may; elsewhere a row has another topic too, or is read without being followed (memberships, shifts).
rollback to alerted;
create table tests.routes (source text, kind text, named_by text, only_there boolean, primary key (source, kind));
insert into tests.routes values
  ('messages', 'session', 'session_id', true),
  ('message_arrivals', 'session', 'session_id', true),
  ('sessions', 'session', 'id', true),
  ('sessions', 'org', 'organization_id', false),
  ('session_participants', 'session', 'session_id', true),
  ('session_consents', 'session', 'session_id', true),
  ('session_epochs', 'session', 'session_id', true),
  ('assessments', 'care', 'session_id', true),
  ('alerts', 'care', 'session_id', true),
  ('alerts', 'org', 'organization_id', false),
  ('alert_events', 'care', 'session_id', true),
  ('alert_events', 'org', 'organization_id', false),
  ('alert_recipients', 'inbox', 'user_id', false),
  ('alert_recipients', 'care', 'session_id', false),
  ('memberships', 'org', 'organization_id', false),
  ('oncall_shifts', 'org', 'organization_id', false),
  ('suggestions', 'care', 'session_id', true),
  ('suggestion_seals', 'care', 'session_id', true),
  ('epoch_readers', 'session', 'session_id', true),
  ('message_scores', 'care', 'session_id', true),
  ('erasures', 'session', 'session_id', false);
insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at) values
  (tests.organization('alder'), tests.id('olive'), '2020-01-01', '2100-01-01'),
  (tests.organization('birch'), tests.id('bella'), '2020-01-01', '2100-01-01');

\ir fixtures/relayed.sql

-- Of each route's topics: whether this person receives there, and how many of its rows they read.
create function tests.doors(who text) returns table (source text, topic text, only_there boolean, receives boolean, reads int, of_rows int)
language plpgsql as $$
declare
  r tests.routes;
  id uuid;
  seen jsonb;
  grants jsonb := '{}';
begin
  for r in select * from tests.routes loop
    seen := tests.read(who, format('select jsonb_object_agg(t.id, t.n) from (select %I as id, count(*) as n from public.%I group by 1) t', r.named_by, r.source));
    for id, of_rows in execute format('select %I, count(*) from public.%I group by 1', r.named_by, r.source) loop
      source := r.source;
      topic := r.kind || ':' || id;
      only_there := r.only_there;
      if not grants ? topic then
        grants := grants || jsonb_build_object(topic, tests.granted(who, topic) like 'r%');
      end if;
      receives := grants -> topic;
      reads := coalesce((seen ->> id::text)::int, 0);
      return next;
    end loop;
  end loop;
end
$$;
create function tests.agree(state text, people text[]) returns setof text language plpgsql as $$
declare
  who text;
begin
  foreach who in array people loop
    create temporary table doors on commit drop as select * from tests.doors(who);
    return next is(
      (select string_agg(format('%s on %s: receives %s, reads %s of %s', d.source, d.topic, d.receives, d.reads, d.of_rows), '; ')
        from doors d
        where case when d.receives then d.reads <> d.of_rows else d.only_there and d.reads > 0 end),
      null, format('%s, %s: the topics and the rows agree', who, state)
    );
    return next is( -- a recipient's row has two topics, and is read by whoever receives on one of them
      tests.read(who, 'select count(*) from public.alert_recipients'),
      (select count(*)::text from public.alert_recipients r
        where exists (select from doors d where d.receives and d.topic in ('inbox:' || r.user_id, 'care:' || r.session_id))),
      format('%s, %s: reads the recipients that inbox and care tell of', who, state)
    );
    drop table doors;
  end loop;
end
$$;

savepoint doors;
select is_empty(
  $$select r.source, r.kind from tests.routes r where not exists (
    select from unnest(array['theo', 'sunny']) p, tests.doors(p) d
    where d.source = r.source and d.topic like r.kind || ':%' and d.receives and d.reads > 0
  )$$,
  'every route is followed by somebody'
);
select tests.agree('as it is', array['clio', 'theo', 'sunny', 'ada', 'olive', 'brook', 'bram', 'bella', 'bert', 'nobody']);
select tests.agree('without the second factor', array['clio at aal1', 'theo at aal1', 'sunny at aal1', 'ada at aal1', 'olive at aal1']);
select tests.act('sunny', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')));
select tests.agree('the alert resolved', array['clio', 'theo', 'sunny', 'olive']);
rollback to doors;
update public.memberships set ended_at = now() where organization_id = tests.organization('alder');
select tests.agree('membership ended', array['clio', 'theo', 'sunny', 'ada', 'olive']);
rollback to doors;
update public.memberships
set role = case role when 'client' then 'therapist' when 'therapist' then 'client' when 'supervisor' then 'admin' else 'supervisor' end
where organization_id = tests.organization('alder');
select tests.agree('role changed', array['clio', 'theo', 'sunny', 'ada', 'olive']);
rollback to doors;
update public.session_participants set ended_at = now();
select tests.agree('participant ended', array['clio', 'theo', 'sunny', 'olive']);
rollback to doors;
insert into public.memberships (organization_id, user_id, role) values
  (tests.organization('birch'), tests.id('clio'), 'therapist'), (tests.organization('birch'), tests.id('sunny'), 'client');
select tests.agree('another role elsewhere', array['clio', 'clio at aal1', 'sunny', 'sunny at aal1']);
rollback to doors;
delete from auth.sessions;
select tests.agree('signed out', array['clio', 'theo', 'sunny', 'ada', 'olive']);

select * from finish();
rollback;
