-- Opens 20261124000200_recovery_keys.sql. To the person whose key it is, and nobody else: the sidecar and the service role have nothing.

drop policy if exists "people read their own recovery key" on public.recovery_keys;
create policy "people read their own recovery key"
  on public.recovery_keys for select to authenticated
  using (user_id = (select private.caller()));
