-- Opens 20261124000440_former_wraps.sql: as the wraps that are there.

drop policy if exists "people read the former wraps of their own devices" on public.former_wraps;
create policy "people read the former wraps of their own devices"
  on public.former_wraps for select to authenticated
  using (
    session_id in (select private.sessions_of_caller())
    and device_id in (select d.id from public.devices d where d.user_id = (select private.caller()))
  );
