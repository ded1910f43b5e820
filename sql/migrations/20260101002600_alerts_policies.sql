-- Opens 20260101000800_alerts.sql. Clients never read alerts; acknowledging and resolving are RPCs.

drop policy if exists "clinicians read alerts of their sessions" on public.alerts;
create policy "clinicians read alerts of their sessions"
  on public.alerts for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "vigil reads alerts" on public.alerts;
create policy "vigil reads alerts"
  on public.alerts for select to vigil
  using (true);

drop policy if exists "vigil raises alerts" on public.alerts;
create policy "vigil raises alerts"
  on public.alerts for insert to vigil
  with check (status = 'open' and version = 1);

drop policy if exists "clinicians read whom an alert of their sessions reached" on public.alert_recipients;
create policy "clinicians read whom an alert of their sessions reached"
  on public.alert_recipients for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "recipients read their own inbox" on public.alert_recipients;
create policy "recipients read their own inbox"
  on public.alert_recipients for select to authenticated
  using (user_id in (select private.inboxes_of_caller()));

drop policy if exists "vigil reads recipients" on public.alert_recipients;
create policy "vigil reads recipients"
  on public.alert_recipients for select to vigil
  using (true);

drop policy if exists "vigil names recipients" on public.alert_recipients;
create policy "vigil names recipients"
  on public.alert_recipients for insert to vigil
  with check (ended_at is null);

drop policy if exists "clinicians read what was done about alerts of their sessions" on public.alert_events;
create policy "clinicians read what was done about alerts of their sessions"
  on public.alert_events for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "vigil reads alert events" on public.alert_events;
create policy "vigil reads alert events"
  on public.alert_events for select to vigil
  using (true);

drop policy if exists "vigil raises, and takes no other step" on public.alert_events;
create policy "vigil raises, and takes no other step"
  on public.alert_events for insert to vigil
  with check (kind = 'raised' and actor_id is null);

drop policy if exists "people read their own shifts" on public.oncall_shifts;
create policy "people read their own shifts"
  on public.oncall_shifts for select to authenticated
  using (user_id = (select private.caller()));

drop policy if exists "staff read the shifts of their organisation" on public.oncall_shifts;
create policy "staff read the shifts of their organisation"
  on public.oncall_shifts for select to authenticated
  using (organization_id in (select private.organizations_of_staff()));

drop policy if exists "supervisors and admins add shifts" on public.oncall_shifts;
create policy "supervisors and admins add shifts"
  on public.oncall_shifts for insert to authenticated
  with check (organization_id in (select private.organizations_of_supervisor()) or organization_id in (select private.organizations_of_admin()));

drop policy if exists "supervisors and admins move shifts" on public.oncall_shifts;
create policy "supervisors and admins move shifts"
  on public.oncall_shifts for update to authenticated
  using (organization_id in (select private.organizations_of_supervisor()) or organization_id in (select private.organizations_of_admin()))
  with check (organization_id in (select private.organizations_of_supervisor()) or organization_id in (select private.organizations_of_admin()));

drop policy if exists "supervisors and admins remove shifts" on public.oncall_shifts;
create policy "supervisors and admins remove shifts"
  on public.oncall_shifts for delete to authenticated
  using (organization_id in (select private.organizations_of_supervisor()) or organization_id in (select private.organizations_of_admin()));

drop policy if exists "vigil reads who is on call" on public.oncall_shifts;
create policy "vigil reads who is on call"
  on public.oncall_shifts for select to vigil
  using (true);
