-- Opens 20260101001000_logins.sql. To the sidecar only.

drop policy if exists "vigil reads ended logins" on public.ended_logins;
create policy "vigil reads ended logins"
  on public.ended_logins for select to vigil
  using (true);

drop policy if exists "vigil reads its state" on public.sidecar_state;
create policy "vigil reads its state"
  on public.sidecar_state for select to vigil
  using (true);

drop policy if exists "vigil records its state" on public.sidecar_state;
create policy "vigil records its state"
  on public.sidecar_state for insert to vigil
  with check (true);

drop policy if exists "vigil changes its state" on public.sidecar_state;
create policy "vigil changes its state"
  on public.sidecar_state for update to vigil
  using (true)
  with check (true);
