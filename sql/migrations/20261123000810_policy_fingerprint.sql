-- What a grant rests on, more fully than 20260101003400_schema_changes.sql had it: the text of views, what roles inherit and bypass, how
-- one is a member of another, functions and relations of the schemas that the owner of ours has made beside ours, and the rows of
-- relay.permissions. The event trigger is tried again, so that one file is enough where it could not be made.

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

-- Each fact is an array: what is null has its place, and no text can look like two. What an extension brought is left out: it is many,
-- and changes with the extension only.
create or replace function private.policy_fingerprint()
returns text
language sql stable security definer
set search_path = ''
as $$
  with schemas as materialized (
    select n.oid, n.nspname, n.nspacl, n.nspowner
    from pg_catalog.pg_namespace n
    where n.nspname in ('public', 'private', 'relay', 'auth')
      or n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'
        and n.nspowner = (select p.nspowner from pg_catalog.pg_namespace p where p.nspname = 'private')
  ),
  extended as materialized (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
  ),
  relations as materialized (
    select c.*
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and c.relnamespace in (select s.oid from schemas s)
      and not exists (select from extended e where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = c.oid)
  ),
  facts (fact) as (
    select jsonb_build_array('policy', p.polrelid, p.polname, p.polcmd, p.polpermissive, p.polroles::text, p.polqual::text, p.polwithcheck::text)
    from pg_catalog.pg_policy p
    union all
    select jsonb_build_array(
      'function', f.oid, f.prosrc, f.prosqlbody::text, f.prosecdef, f.proconfig::text, f.proacl::text, f.proowner, f.proisstrict, f.provolatile, f.prolang)
    from pg_catalog.pg_proc f
    where f.pronamespace in (select s.oid from schemas s)
      and not exists (select from extended e where e.classid = 'pg_catalog.pg_proc'::regclass and e.objid = f.oid)
    union all
    select jsonb_build_array('relation', c.oid, c.relacl::text, c.relrowsecurity, c.relforcerowsecurity, c.relowner, c.reloptions::text)
    from relations c
    union all
    select jsonb_build_array('rule', r.ev_class, r.rulename, r.ev_enabled, r.ev_qual::text, r.ev_action::text)
    from pg_catalog.pg_rewrite r
    where r.ev_class in (select c.oid from relations c)
    union all
    select jsonb_build_array('schema', s.nspname, s.nspacl::text, s.nspowner)
    from schemas s
    union all
    select jsonb_build_array('column', a.attrelid, a.attname, a.attacl::text)
    from pg_catalog.pg_attribute a
    where a.attacl is not null
    union all
    select jsonb_build_array('member', to_jsonb(m) - array['oid', 'grantor', 'admin_option'])
    from pg_catalog.pg_auth_members m
    union all
    select jsonb_build_array('role', r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolbypassrls)
    from pg_catalog.pg_roles r
    union all
    select jsonb_build_array('permission', p.extension, p.action)
    from relay.permissions p
  )
  select private.to_base64url(sha256(convert_to(coalesce(string_agg(fact::text, E'\n' order by fact::text collate "C"), ''), 'UTF8')))
  from facts
$$;
