-- Opens 20261124000800_erasures.sql. Asking is an RPC; erasing is the service role's.

drop policy if exists "people read the erasures they asked for or are in" on public.erasures;
create policy "people read the erasures they asked for or are in"
  on public.erasures for select to authenticated
  using (
    requested_by = (select private.caller())
    or person_id = (select private.caller())
    or people @> array[(select private.caller())]
  );

drop policy if exists "staff read their organisation's erasures" on public.erasures;
create policy "staff read their organisation's erasures"
  on public.erasures for select to authenticated
  using (organization_id in (select private.organizations_of_staff()));
