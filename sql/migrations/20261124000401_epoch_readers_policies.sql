-- Opens 20261124000400_epoch_readers.sql. Who sees a session sees who can read it.

drop policy if exists "participants and clinicians read who else holds a key" on public.epoch_readers;
create policy "participants and clinicians read who else holds a key"
  on public.epoch_readers for select to authenticated
  using (session_id in (select private.sessions_of_caller()));

drop policy if exists "vigil reads who else holds a key" on public.epoch_readers;
create policy "vigil reads who else holds a key"
  on public.epoch_readers for select to vigil
  using (true);
