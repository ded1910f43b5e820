-- Opens 20260101000500_epochs.sql.

drop policy if exists "participants and clinicians read epochs" on public.session_epochs;
create policy "participants and clinicians read epochs"
  on public.session_epochs for select to authenticated
  using (session_id in (select private.sessions_of_caller()));

drop policy if exists "vigil reads epochs" on public.session_epochs;
create policy "vigil reads epochs"
  on public.session_epochs for select to vigil
  using (true);

drop policy if exists "people read the wraps of their own devices" on public.epoch_wraps;
create policy "people read the wraps of their own devices"
  on public.epoch_wraps for select to authenticated
  using (
    session_id in (select private.sessions_of_caller())
    and device_id in (select d.id from public.devices d where d.user_id = (select private.caller()))
  );

drop policy if exists "vigil reads its own wraps" on public.epoch_wraps;
create policy "vigil reads its own wraps"
  on public.epoch_wraps for select to vigil
  using (role = 9);
