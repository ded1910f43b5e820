-- Opens 20260101000300_sessions.sql.

drop policy if exists "participants and clinicians read their sessions" on public.sessions;
create policy "participants and clinicians read their sessions"
  on public.sessions for select to authenticated
  using (id in (select private.sessions_of_caller()));

drop policy if exists "vigil reads sessions" on public.sessions;
create policy "vigil reads sessions"
  on public.sessions for select to vigil
  using (true);

drop policy if exists "vigil reads counters" on public.session_counters;
create policy "vigil reads counters"
  on public.session_counters for select to vigil
  using (true);

drop policy if exists "vigil reads progress" on public.session_progress;
create policy "vigil reads progress"
  on public.session_progress for select to vigil
  using (true);

drop policy if exists "vigil moves progress" on public.session_progress;
create policy "vigil moves progress"
  on public.session_progress for update to vigil
  using (true)
  with check (true);

drop policy if exists "participants and clinicians read who takes part" on public.session_participants;
create policy "participants and clinicians read who takes part"
  on public.session_participants for select to authenticated
  using (session_id in (select private.sessions_of_caller()));

drop policy if exists "vigil reads who takes part" on public.session_participants;
create policy "vigil reads who takes part"
  on public.session_participants for select to vigil
  using (true);
