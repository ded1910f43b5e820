-- Schemas, the sidecar's role, and the small functions that everything after uses.
-- Runs as `postgres`, who is not a superuser and owns nothing in `auth`; on Postgres 15 and later; may run twice.

create schema if not exists private;
comment on schema private is 'Functions that policies, triggers and RPCs call. Never among the schemas that the REST API exposes.';

create schema if not exists relay;
comment on schema relay is 'Who may do what on a channel topic: read by the sidecar as the person who joins.';

-- The sidecar's own role. No password here: the operator sets one (sql/README.md). It inherits nothing, so that being allowed to
-- become `authenticated` for the grant query gives it no right of its own.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'vigil') then
    create role vigil login noinherit;
  end if;
  if current_setting('server_version_num')::int >= 160000 then
    execute 'grant authenticated to vigil with inherit false, set true';
  else
    grant authenticated to vigil;
  end if;
end
$$;

revoke all on schema private from public;
revoke all on schema relay from public;
grant usage on schema private to authenticated, service_role, vigil, supabase_auth_admin;
grant usage on schema relay to authenticated, vigil;
do $$
begin
  if not has_schema_privilege('vigil', 'public', 'usage') then
    grant usage on schema public to vigil;
  end if;
end
$$;

-- base64url without padding, as every column of bytes holds it (core Postgres has plain base64 only).
create or replace function private.to_base64url(bytes bytea)
returns text
language sql immutable strict parallel safe
set search_path = ''
as $$
  select translate(rtrim(replace(encode(bytes, 'base64'), E'\n', ''), '='), '+/', '-_')
$$;

create or replace function private.from_base64url(value text)
returns bytea
language sql immutable strict parallel safe
set search_path = ''
as $$
  select decode(translate(value, '-_', '+/') || repeat('=', (4 - length(value) % 4) % 4), 'base64')
$$;

-- For tables whose rows, once written, stand. TG_ARGV[0] says what to do instead.
create or replace function private.refuse_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'VG015',
    message = format('%s of %I is refused: the table is append-only', lower(tg_op), tg_table_name),
    hint = coalesce(tg_argv[0], '');
end
$$;

revoke all on function private.to_base64url(bytea) from public;
revoke all on function private.from_base64url(text) from public;
revoke all on function private.refuse_change() from public;
