-- Opens 20260101000600_messages.sql. Whether a message may be sent is private.admit_message's to say: it runs before these policies,
-- has looked at the login, and sets sender_id.

drop policy if exists "participants and clinicians read messages" on public.messages;
create policy "participants and clinicians read messages"
  on public.messages for select to authenticated
  using (session_id in (select private.sessions_of_caller()));

drop policy if exists "participants send as themselves" on public.messages;
create policy "participants send as themselves"
  on public.messages for insert to authenticated
  with check (sender_id = (select auth.uid()));

drop policy if exists "vigil reads assisted messages" on public.messages;
create policy "vigil reads assisted messages"
  on public.messages for select to vigil
  using (assisted);

drop policy if exists "participants and clinicians read arrivals" on public.message_arrivals;
create policy "participants and clinicians read arrivals"
  on public.message_arrivals for select to authenticated
  using (session_id in (select private.sessions_of_caller()));
