-- Opens 20261123000850_topic_terms.sql.

drop policy if exists "staff read their organisation's topic terms" on public.topic_terms;
create policy "staff read their organisation's topic terms"
  on public.topic_terms for select to authenticated
  using (organization_id in (select private.organizations_of_staff()));

drop policy if exists "admins add topic terms" on public.topic_terms;
create policy "admins add topic terms"
  on public.topic_terms for insert to authenticated
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins remove topic terms" on public.topic_terms;
create policy "admins remove topic terms"
  on public.topic_terms for delete to authenticated
  using (organization_id in (select private.organizations_of_admin()));

drop policy if exists "vigil reads topic terms" on public.topic_terms;
create policy "vigil reads topic terms"
  on public.topic_terms for select to vigil
  using (true);
