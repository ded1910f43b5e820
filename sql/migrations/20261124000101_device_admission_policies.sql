-- Opens 20261124000100_device_admission.sql. Who sees a device sees who vouched for it, and can verify it.

drop policy if exists "people read the signatures under the devices of those they meet" on public.device_signatures;
create policy "people read the signatures under the devices of those they meet"
  on public.device_signatures for select to authenticated
  using (user_id in (select private.people_of_caller()));

drop policy if exists "everyone signed in reads who vouches for the sidecar's devices" on public.device_signatures;
create policy "everyone signed in reads who vouches for the sidecar's devices"
  on public.device_signatures for select to authenticated
  using (user_id is null and (select private.login_is_live()));

drop policy if exists "people vouch for their own devices" on public.device_signatures;
create policy "people vouch for their own devices"
  on public.device_signatures for insert to authenticated
  with check (user_id = (select private.caller()));

drop policy if exists "vigil reads device signatures" on public.device_signatures;
create policy "vigil reads device signatures"
  on public.device_signatures for select to vigil
  using (true);
