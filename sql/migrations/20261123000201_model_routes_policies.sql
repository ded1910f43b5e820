-- Opens 20261123000200_model_routes.sql.

drop policy if exists "admins read their organisation's model routes" on public.model_routes;
create policy "admins read their organisation's model routes"
  on public.model_routes for select to authenticated
  using (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins add model routes" on public.model_routes;
create policy "admins add model routes"
  on public.model_routes for insert to authenticated
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins change model routes" on public.model_routes;
create policy "admins change model routes"
  on public.model_routes for update to authenticated
  using (organization_id in (select private.organizations_of_admin()))
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins remove model routes" on public.model_routes;
create policy "admins remove model routes"
  on public.model_routes for delete to authenticated
  using (organization_id in (select private.organizations_of_admin()));

drop policy if exists "vigil reads model routes" on public.model_routes;
create policy "vigil reads model routes"
  on public.model_routes for select to vigil
  using (true);
