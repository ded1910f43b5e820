-- Opens 20260101000700_assessments.sql. Clients never read assessments.

drop policy if exists "clinicians read assessments of their sessions" on public.assessments;
create policy "clinicians read assessments of their sessions"
  on public.assessments for select to authenticated
  using (session_id in (select private.sessions_of_clinician()));

drop policy if exists "vigil reads assessments" on public.assessments;
create policy "vigil reads assessments"
  on public.assessments for select to vigil
  using (true);

drop policy if exists "vigil records assessments" on public.assessments;
create policy "vigil records assessments"
  on public.assessments for insert to vigil
  with check (superseded_at is null);

drop policy if exists "vigil supersedes assessments" on public.assessments;
create policy "vigil supersedes assessments"
  on public.assessments for update to vigil
  using (superseded_at is null)
  with check (superseded_at is not null);
