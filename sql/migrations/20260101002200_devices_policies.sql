-- Opens 20260101000400_devices.sql.

drop policy if exists "people read the devices of those they meet" on public.devices;
create policy "people read the devices of those they meet"
  on public.devices for select to authenticated
  using (user_id in (select private.people_of_caller()));

drop policy if exists "everyone signed in reads the sidecar's devices" on public.devices;
create policy "everyone signed in reads the sidecar's devices"
  on public.devices for select to authenticated
  using (kind = 'analysis' and (select private.login_is_live()));

drop policy if exists "people register their own devices" on public.devices;
create policy "people register their own devices"
  on public.devices for insert to authenticated
  with check (kind = 'participant' and user_id = (select private.caller()) and revoked_at is null);

drop policy if exists "people name and revoke their own devices" on public.devices;
create policy "people name and revoke their own devices"
  on public.devices for update to authenticated
  using (user_id = (select private.caller()))
  with check (user_id = (select private.caller()));

drop policy if exists "vigil reads devices" on public.devices;
create policy "vigil reads devices"
  on public.devices for select to vigil
  using (true);

drop policy if exists "participants and clinicians read consents" on public.session_consents;
create policy "participants and clinicians read consents"
  on public.session_consents for select to authenticated
  using (session_id in (select private.sessions_of_caller()));

drop policy if exists "clients give their own consent" on public.session_consents;
create policy "clients give their own consent"
  on public.session_consents for insert to authenticated
  with check (user_id = (select private.caller()) and session_id in (select private.sessions_of_participant()));

drop policy if exists "vigil reads consents" on public.session_consents;
create policy "vigil reads consents"
  on public.session_consents for select to vigil
  using (true);
