-- Opens 20261123000300_alert_pages.sql; alert_page_deliveries stays closed.

drop policy if exists "clinicians read the pages of their sessions' alerts" on public.alert_pages;
create policy "clinicians read the pages of their sessions' alerts"
  on public.alert_pages for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "vigil reads pages" on public.alert_pages;
create policy "vigil reads pages"
  on public.alert_pages for select to vigil
  using (true);

drop policy if exists "vigil records how a page went" on public.alert_pages;
create policy "vigil records how a page went"
  on public.alert_pages for update to vigil
  using (status = 'pending')
  with check (true);
