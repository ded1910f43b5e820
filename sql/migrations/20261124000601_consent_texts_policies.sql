-- Opens 20261124000600_consent_texts.sql.

drop policy if exists "people read the texts of their organisation" on public.consent_texts;
create policy "people read the texts of their organisation"
  on public.consent_texts for select to authenticated
  using (organization_id in (select private.organizations_of_caller()));

drop policy if exists "admins publish texts" on public.consent_texts;
create policy "admins publish texts"
  on public.consent_texts for insert to authenticated
  with check (organization_id in (select private.organizations_of_admin()));

drop policy if exists "admins retire texts" on public.consent_texts;
create policy "admins retire texts"
  on public.consent_texts for update to authenticated
  using (organization_id in (select private.organizations_of_admin()))
  with check (organization_id in (select private.organizations_of_admin()));
