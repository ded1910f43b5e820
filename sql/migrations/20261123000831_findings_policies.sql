-- Opens 20261123000830_findings.sql. Clients never read what their session is said to be about.

drop policy if exists "clinicians read the topics of their sessions" on public.session_progress;
create policy "clinicians read the topics of their sessions"
  on public.session_progress for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));
