-- Opens 20260101000900_audit.sql.

drop policy if exists "admins and supervisors read their organisation's audit log" on public.audit_log;
create policy "admins and supervisors read their organisation's audit log"
  on public.audit_log for select to authenticated
  using (
    organization_id in (select private.organizations_of_admin())
    or organization_id in (select private.organizations_of_supervisor())
  );
