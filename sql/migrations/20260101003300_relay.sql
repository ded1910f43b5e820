-- Who may do what on a topic. The sidecar becomes the person (role and claims, locally), sets relay.topic, and reads this table:
-- the rows that RLS lets through are the grant. The rules call the same functions as the tables' policies.

create table if not exists relay.permissions (
  extension text not null check (extension in ('broadcast', 'presence')),
  action text not null check (action in ('receive', 'send')),
  primary key (extension, action)
);
comment on table relay.permissions is 'The four things one may do on a topic. Written here, once; read through RLS as the person who joins.';

insert into relay.permissions (extension, action)
values ('broadcast', 'receive'), ('broadcast', 'send'), ('presence', 'receive'), ('presence', 'send')
on conflict do nothing;

create or replace function relay.topic()
returns text
language sql stable
set search_path = ''
as $$
  select nullif(current_setting('relay.topic', true), '')
$$;

-- The parts of `<kind>:<id>`. Only an id in its one canonical spelling counts, or two topics would name one session.
create or replace function relay.topic_kind()
returns text
language sql stable
set search_path = ''
as $$
  select (regexp_match(relay.topic(), '^(session|care|inbox|org):[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'))[1]
$$;

create or replace function relay.topic_id()
returns uuid
language sql stable
set search_path = ''
as $$
  select case when relay.topic_kind() is not null then split_part(relay.topic(), ':', 2)::uuid end
$$;

alter table relay.permissions enable row level security;
revoke all on relay.permissions from public, anon, authenticated, service_role, vigil;
grant select on relay.permissions to authenticated;


revoke all on function relay.topic() from public;
revoke all on function relay.topic_kind() from public;
revoke all on function relay.topic_id() from public;
grant execute on function relay.topic() to authenticated;
grant execute on function relay.topic_kind() to authenticated;
grant execute on function relay.topic_id() to authenticated;
