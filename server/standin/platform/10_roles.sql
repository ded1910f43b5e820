-- The roles that hosted Supabase makes before a project's first migration. Run by the superuser (supabase_admin).
-- Sources: supabase/postgres, migrations/db (initial schema, demote-postgres, alter_api_roles_for_inherit,
-- set_authenticator_timeout, set_lock_timeout, grant_with_admin_to_postgres_16_and_above, revoke_admin_roles) and its
-- nix/tests/expected/roles.out. Passwords are set by whoever starts the cluster.

do $$
declare
  wanted text;
begin
  foreach wanted in array array[
    'supabase_admin', 'postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'supabase_auth_admin',
    'supabase_storage_admin', 'dashboard_user'
  ] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      execute format('create role %I', wanted);
    end if;
  end loop;

  -- initdb's superuser cannot lose the attribute: a cluster made with -U postgres would not be the platform.
  if (select oid = 10 from pg_catalog.pg_roles where rolname = 'postgres') then
    raise exception 'postgres is this cluster''s bootstrap superuser: run initdb with -U supabase_admin';
  end if;
end
$$;

alter role supabase_admin superuser login inherit createdb createrole replication bypassrls;
alter role postgres nosuperuser login inherit createdb createrole replication bypassrls;
alter role anon nosuperuser nologin inherit nocreatedb nocreaterole noreplication nobypassrls;
alter role authenticated nosuperuser nologin inherit nocreatedb nocreaterole noreplication nobypassrls;
alter role service_role nosuperuser nologin inherit nocreatedb nocreaterole noreplication bypassrls;
alter role authenticator nosuperuser login noinherit nocreatedb nocreaterole noreplication nobypassrls;
alter role supabase_auth_admin nosuperuser login noinherit nocreatedb nocreaterole noreplication nobypassrls;
alter role supabase_storage_admin nosuperuser login noinherit nocreatedb nocreaterole noreplication nobypassrls;
alter role dashboard_user nosuperuser nologin inherit createdb createrole replication nobypassrls;

grant anon, authenticated, service_role to authenticator;
grant authenticator to supabase_storage_admin;

-- postgres is a member of the API roles, and of neither authenticator nor supabase_auth_admin.
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
do $$
begin
  if current_setting('server_version_num')::int >= 160000 then
    execute 'grant anon, authenticated, service_role to postgres with admin option';
    execute 'grant pg_create_subscription to postgres with admin option';
  else
    execute 'grant anon, authenticated, service_role to postgres';
  end if;
end
$$;
grant execute on function pg_catalog.pg_reload_conf() to postgres;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
