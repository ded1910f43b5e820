-- Opens 20261124000500_message_scores.sql. Clients write scores of what they send and never read any: private.admit_score, which runs
-- before these policies, has looked at the login, and sets user_id.

drop policy if exists "clinicians read the scores of their sessions" on public.message_scores;
create policy "clinicians read the scores of their sessions"
  on public.message_scores for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "participants score as themselves" on public.message_scores;
create policy "participants score as themselves"
  on public.message_scores for insert to authenticated
  with check (user_id = (select auth.uid()));

drop policy if exists "vigil reads scores" on public.message_scores;
create policy "vigil reads scores"
  on public.message_scores for select to vigil
  using (true);
