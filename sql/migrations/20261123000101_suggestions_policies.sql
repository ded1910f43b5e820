-- Opens 20261123000100_suggestions.sql. Clients never read suggestions; asking and deciding are RPCs.

drop policy if exists "clinicians read suggestions of their sessions" on public.suggestions;
create policy "clinicians read suggestions of their sessions"
  on public.suggestions for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "vigil reads suggestions" on public.suggestions;
create policy "vigil reads suggestions"
  on public.suggestions for select to vigil
  using (true);

drop policy if exists "clinicians read the seals of their sessions' suggestions" on public.suggestion_seals;
create policy "clinicians read the seals of their sessions' suggestions"
  on public.suggestion_seals for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));
