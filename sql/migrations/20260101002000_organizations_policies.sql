-- Opens 20260101000200_organizations.sql.

drop policy if exists "members read their organisation" on public.organizations;
create policy "members read their organisation"
  on public.organizations for select to authenticated
  using (id in (select private.organizations_of_caller()));

drop policy if exists "admins set their organisation" on public.organizations;
create policy "admins set their organisation"
  on public.organizations for update to authenticated
  using (id in (select private.organizations_of_admin()))
  with check (id in (select private.organizations_of_admin()));

drop policy if exists "vigil reads organisations' settings" on public.organizations;
create policy "vigil reads organisations' settings"
  on public.organizations for select to vigil
  using (true);

drop policy if exists "people read their own memberships" on public.memberships;
create policy "people read their own memberships"
  on public.memberships for select to authenticated
  using (user_id = (select private.caller()));

drop policy if exists "staff read the memberships of their organisation" on public.memberships;
create policy "staff read the memberships of their organisation"
  on public.memberships for select to authenticated
  using (organization_id in (select private.organizations_of_staff()));

drop policy if exists "admins take people in" on public.memberships;
create policy "admins take people in"
  on public.memberships for insert to authenticated
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins change and end memberships" on public.memberships;
create policy "admins change and end memberships"
  on public.memberships for update to authenticated
  using (organization_id in (select private.organizations_of_admin()))
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "vigil reads memberships for recipients" on public.memberships;
create policy "vigil reads memberships for recipients"
  on public.memberships for select to vigil
  using (true);

drop policy if exists "people read the names of those they meet" on public.profiles;
create policy "people read the names of those they meet"
  on public.profiles for select to authenticated
  using (user_id in (select private.people_of_caller()));

drop policy if exists "people write their own name" on public.profiles;
create policy "people write their own name"
  on public.profiles for insert to authenticated
  with check (user_id = (select private.caller()));

drop policy if exists "people change their own name" on public.profiles;
create policy "people change their own name"
  on public.profiles for update to authenticated
  using (user_id = (select private.caller()))
  with check (user_id = (select private.caller()));

drop policy if exists "staff read their organisation's crisis policy" on public.crisis_policies;
create policy "staff read their organisation's crisis policy"
  on public.crisis_policies for select to authenticated
  using (organization_id in (select private.organizations_of_staff()));

drop policy if exists "admins set their organisation's crisis policy" on public.crisis_policies;
create policy "admins set their organisation's crisis policy"
  on public.crisis_policies for update to authenticated
  using (organization_id in (select private.organizations_of_admin()))
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "vigil reads crisis policies" on public.crisis_policies;
create policy "vigil reads crisis policies"
  on public.crisis_policies for select to vigil
  using (true);
