-- A plan is kept for the connection, with the policies of the roles that `authenticated` was a member of when it was made: Postgres makes
-- it anew when a policy changes, but not when a membership does, or a role's right to pass policies by. So what a plan rests on is
-- remembered for the connection, and its plans are dropped when that has changed.

create or replace function private.permissions_of(claims text[], topics text[])
returns setof text
language plpgsql
set search_path = ''
as $$
declare
  roles text;
begin
  if cardinality(claims) <> cardinality(topics) then
    raise exception using errcode = '22023', message = 'as many claims as topics';
  end if;
  select format('%s %s %s', sum(hashtextextended(m::text, 0)), count(*), (
    select format('%s %s %s', r.rolsuper, r.rolinherit, r.rolbypassrls) from pg_catalog.pg_roles r where r.rolname = 'authenticated'
  ))
  into roles
  from pg_catalog.pg_auth_members m;
  if roles is distinct from current_setting('relay.planned_for', true) then
    discard plans;
    perform set_config('relay.planned_for', roles, false);
  end if;
  perform set_config('transaction_read_only', 'on', true), set_config('role', 'authenticated', true);
  for i in 1 .. cardinality(topics) loop
    perform set_config('request.jwt.claims', claims[i], true), set_config('relay.topic', topics[i], true);
    return next coalesce((select string_agg(p.extension || '.' || p.action, ',') from relay.permissions p), '');
  end loop;
end
$$;
