-- Files of a session. They are sealed in the browser before they go to Storage, each under a key of its own that stands in the message which
-- names it: here is only that there is one, and whose. Closed here; opened in 20261124000901_attachments_policies.sql.

create table if not exists public.attachments (
  id uuid primary key,
  session_id uuid not null,
  organization_id uuid not null,
  user_id uuid not null,
  device_id uuid not null references public.devices (id),
  bytes bigint not null check (bytes between 16 and 25000000),
  sha256 text not null check (sha256 ~ '^[A-Za-z0-9_-]{43}$'),
  created_at timestamptz not null default now(),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade
);
comment on table public.attachments is 'That a sealed file of a session may be in Storage, at <session>/<id> in the bucket sealed. Written by participants, before they upload it. Append-only; no name, no type, no key.';
comment on column public.attachments.bytes is 'Of the sealed body, as is sha256.';
create index if not exists attachments_session_id_idx on public.attachments (session_id, created_at);
create index if not exists attachments_user_id_idx on public.attachments (user_id, created_at);

create or replace function private.admit_attachment()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  most_a_day constant int := 200;
  s public.sessions;
begin
  if private.participation(new.session_id) is null then
    raise exception using errcode = '42501', message = 'only someone who takes part in the session may attach a file';
  end if;
  perform from public.session_counters c where c.session_id = new.session_id for update;
  select * into s from public.sessions x where x.id = new.session_id;
  if s.status <> 'active' then
    raise exception using errcode = 'VG002', message = format('the session is %s', s.status), detail = jsonb_build_object('status', s.status)::text;
  end if;
  perform private.require_device(new.device_id, 'a file must come from an unrevoked device of the caller');
  if (select count(*) from public.attachments a where a.user_id = auth.uid() and a.created_at > now() - interval '1 day') >= most_a_day then
    raise exception using errcode = '23514', message = format('at most %s files a day', most_a_day);
  end if;
  new.organization_id := s.organization_id;
  new.user_id := auth.uid();
  new.created_at := now();
  return new;
end
$$;
revoke all on function private.admit_attachment() from public;

create or replace trigger a_file_comes_from_somebody_who_takes_part
  before insert on public.attachments
  for each row execute function private.admit_attachment();

create or replace trigger an_attachment_stands
  before update on public.attachments
  for each row execute function private.refuse_change('attach another');

alter table public.attachments enable row level security;

revoke all on public.attachments from public, anon, authenticated, service_role, vigil;

grant select on public.attachments to authenticated, service_role;
grant insert (id, session_id, device_id, bytes, sha256) on public.attachments to authenticated;

-- Whether the caller may put this object there: it is a file that they said they would upload, and its session goes on.
create or replace function private.may_upload(object text)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if object !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return false;
  end if;
  return exists (
    select
    from public.attachments a
    join public.sessions s on s.id = a.session_id and s.status = 'active'
    where a.id = split_part(object, '/', 2)::uuid
      and a.session_id = split_part(object, '/', 1)::uuid
      and a.user_id = auth.uid()
      and private.participation(a.session_id) is not null
  );
end
$$;
revoke all on function private.may_upload(text) from public;
grant execute on function private.may_upload(text) to authenticated;
