-- Opens 20261124000900_attachments.sql, and the bucket that its files are in. Nobody changes or deletes one there: erasing is the service role's.

drop policy if exists "participants and clinicians read which files there are" on public.attachments;
create policy "participants and clinicians read which files there are"
  on public.attachments for select to authenticated
  using (session_id in (select private.sessions_of_caller()));

drop policy if exists "participants attach files as themselves" on public.attachments;
create policy "participants attach files as themselves"
  on public.attachments for insert to authenticated
  with check (user_id = (select auth.uid()));

-- Storage is the platform's: where it is not, or its tables are closed to postgres, there are no files.
do $$
begin
  if to_regclass('storage.objects') is null or to_regclass('storage.buckets') is null then
    raise notice 'no Storage here: sessions have no files';
    return;
  end if;
  insert into storage.buckets (id, name, public, file_size_limit) values ('sealed', 'sealed', false, 25000000)
  on conflict (id) do update set public = false, file_size_limit = excluded.file_size_limit;

  drop policy if exists "participants upload the sealed files they attached" on storage.objects;
  create policy "participants upload the sealed files they attached"
    on storage.objects for insert to authenticated
    with check (bucket_id = 'sealed' and (select private.may_upload(name)));

  drop policy if exists "people of a session read its sealed files" on storage.objects;
  create policy "people of a session read its sealed files"
    on storage.objects for select to authenticated
    using (bucket_id = 'sealed' and split_part(name, '/', 1) in (select s.id::text from private.sessions_of_caller() as s (id)));
exception when insufficient_privilege then
  raise notice 'Storage is closed to this role: sessions have no files. Make the bucket and these policies as its owner';
end
$$;
