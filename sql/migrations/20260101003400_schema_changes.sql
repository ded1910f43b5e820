-- DDL is not in the log. Where an event trigger may be made, a change of policies, functions or grants is announced by a logical
-- message; elsewhere the sidecar compares private.policy_fingerprint() every few seconds. The message is a hint to read again.

create or replace function private.announce_ddl()
returns event_trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_logical_emit_message(true, 'vigil.ddl', '');
exception when others then
  raise log 'vigil: a schema change was not announced: %', sqlerrm;
end
$$;
revoke all on function private.announce_ddl() from public;

do $$
begin
  if not exists (select from pg_catalog.pg_event_trigger where evtname = 'vigil_ddl') then
    create event trigger vigil_ddl on ddl_command_end
      when tag in (
        'CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'CREATE FUNCTION', 'ALTER FUNCTION', 'DROP FUNCTION',
        'GRANT', 'REVOKE', 'ALTER TABLE', 'CREATE TABLE', 'DROP TABLE', 'CREATE VIEW', 'ALTER VIEW', 'DROP VIEW', 'DROP SCHEMA'
      )
      execute function private.announce_ddl();
  end if;
exception when insufficient_privilege then
  raise notice 'no event trigger here: the sidecar compares private.policy_fingerprint() instead';
end
$$;

-- One value that changes when policies, functions, RLS, grants or role memberships do. Each fact is an array: what is null has its
-- place, and no text can look like two.
create or replace function private.policy_fingerprint()
returns text
language sql stable security definer
set search_path = ''
as $$
  with facts (fact) as (
    select jsonb_build_array('policy', p.polrelid, p.polname, p.polcmd, p.polpermissive, p.polroles::text, p.polqual::text, p.polwithcheck::text)
    from pg_catalog.pg_policy p
    union all
    select jsonb_build_array('function', f.oid, f.prosrc, f.prosqlbody::text, f.prosecdef, f.proconfig::text, f.proacl::text, f.proowner)
    from pg_catalog.pg_proc f
    where f.pronamespace in (select n.oid from pg_catalog.pg_namespace n where n.nspname in ('public', 'private', 'relay'))
    union all
    select jsonb_build_array('relation', c.oid, c.relacl::text, c.relrowsecurity, c.relforcerowsecurity, c.relowner)
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'p', 'v', 'm')
      and c.relnamespace in (select n.oid from pg_catalog.pg_namespace n where n.nspname in ('public', 'private', 'relay'))
    union all
    select jsonb_build_array('schema', n.nspname, n.nspacl::text)
    from pg_catalog.pg_namespace n
    where n.nspname in ('public', 'private', 'relay', 'auth')
    union all
    select jsonb_build_array('column', a.attrelid, a.attname, a.attacl::text)
    from pg_catalog.pg_attribute a
    where a.attacl is not null
    union all
    select jsonb_build_array('member', m.roleid, m.member)
    from pg_catalog.pg_auth_members m
  )
  select private.to_base64url(sha256(convert_to(coalesce(string_agg(fact::text, E'\n' order by fact::text collate "C"), ''), 'UTF8')))
  from facts
$$;
revoke all on function private.policy_fingerprint() from public;
grant execute on function private.policy_fingerprint() to vigil;
