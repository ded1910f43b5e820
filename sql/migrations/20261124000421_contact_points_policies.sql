-- Opens 20261124000420_contact_points.sql.

drop policy if exists "people read how they can be reached" on public.contact_points;
create policy "people read how they can be reached"
  on public.contact_points for select to authenticated
  using (user_id = (select private.caller()) and organization_id in (select private.organizations_of_caller()));

drop policy if exists "clinicians read how to reach the clients of their sessions" on public.contact_points;
create policy "clinicians read how to reach the clients of their sessions"
  on public.contact_points for select to authenticated
  using (organization_id in (select private.organizations_of_staff()) and user_id in (select private.clients_of_clinician()));

drop policy if exists "people say how they can be reached" on public.contact_points;
create policy "people say how they can be reached"
  on public.contact_points for insert to authenticated
  with check (user_id = (select private.caller()) and organization_id in (select private.organizations_of_caller()));

-- Not of whom they like: they will be told to call it in an emergency.
drop policy if exists "staff say how people can be reached" on public.contact_points;
drop policy if exists "clinicians say how to reach the clients of their sessions" on public.contact_points;
create policy "clinicians say how to reach the clients of their sessions"
  on public.contact_points for insert to authenticated
  with check (organization_id in (select private.organizations_of_staff()) and user_id in (select private.clients_of_clinician()));

drop policy if exists "people correct how they can be reached" on public.contact_points;
create policy "people correct how they can be reached"
  on public.contact_points for update to authenticated
  using (user_id = (select private.caller()) and organization_id in (select private.organizations_of_caller()))
  with check (user_id = (select private.caller()));

drop policy if exists "clinicians correct how to reach the clients of their sessions" on public.contact_points;
create policy "clinicians correct how to reach the clients of their sessions"
  on public.contact_points for update to authenticated
  using (organization_id in (select private.organizations_of_staff()) and user_id in (select private.clients_of_clinician()))
  with check (organization_id in (select private.organizations_of_staff()));

drop policy if exists "people remove how they can be reached" on public.contact_points;
create policy "people remove how they can be reached"
  on public.contact_points for delete to authenticated
  using (user_id = (select private.caller()) and organization_id in (select private.organizations_of_caller()));

-- An alert at night finds the number that the practice's office wrote down: of clients, and of nobody on the staff.
drop policy if exists "admins read how to reach their organisation's clients" on public.contact_points;
create policy "admins read how to reach their organisation's clients"
  on public.contact_points for select to authenticated
  using (organization_id in (select private.organizations_of_admin()) and user_id in (select private.clients_of_admin()));

drop policy if exists "admins say how to reach their organisation's clients" on public.contact_points;
create policy "admins say how to reach their organisation's clients"
  on public.contact_points for insert to authenticated
  with check (organization_id in (select private.organizations_of_admin()) and user_id in (select private.clients_of_admin()));

drop policy if exists "admins correct how to reach their organisation's clients" on public.contact_points;
create policy "admins correct how to reach their organisation's clients"
  on public.contact_points for update to authenticated
  using (organization_id in (select private.organizations_of_admin()) and user_id in (select private.clients_of_admin()))
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins remove how to reach their organisation's clients" on public.contact_points;
create policy "admins remove how to reach their organisation's clients"
  on public.contact_points for delete to authenticated
  using (organization_id in (select private.organizations_of_admin()) and user_id in (select private.clients_of_admin()));
