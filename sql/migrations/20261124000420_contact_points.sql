-- How to reach a client when an alert pages somebody who may not read the message. Names no session; never published, never in the audit log's
-- details, never read by the sidecar. Opened in 20261124000421_contact_points_policies.sql.

create table if not exists public.contact_points (
  organization_id uuid not null,
  user_id uuid not null default auth.uid(),
  kind text not null check (kind in ('phone', 'email', 'address', 'other')),
  value text not null check (length(value) between 1 and 200),
  note text check (length(note) <= 200),
  updated_by uuid,
  updated_at timestamptz not null default now(),
  primary key (organization_id, user_id, kind),
  foreign key (organization_id, user_id) references public.memberships (organization_id, user_id) on delete cascade
);
comment on table public.contact_points is 'How a person can be reached in an emergency, in one organisation. Written and read by that person; of a client also by the clinicians of a session of theirs, and by the organisation''s admins, who keep it up to date.';

create or replace function private.sign_contact_point()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (new.organization_id, new.user_id, new.kind) <> (old.organization_id, old.user_id, old.kind) then
    raise exception using errcode = 'VG016', message = 'a way to reach somebody keeps its person and its kind';
  end if;
  new.updated_by := auth.uid();
  new.updated_at := now();
  return new;
end
$$;
revoke all on function private.sign_contact_point() from public;

create or replace trigger a_contact_point_says_who_wrote_it
  before insert or update on public.contact_points
  for each row execute function private.sign_contact_point();

create or replace trigger written_in_the_audit_log after insert or update or delete on public.contact_points
  for each row execute function private.audit_row('user_id,kind', 'updated_by,updated_at');

-- Clients of the sessions that the caller follows as a clinician.
create or replace function private.clients_of_clinician()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select p.user_id
  from public.session_participants p
  where p.role = 'client' and p.session_id in (select private.sessions_of_clinician());
end
$$;
revoke all on function private.clients_of_clinician() from public;
grant execute on function private.clients_of_clinician() to authenticated;

-- Clients of the organisations that the caller runs.
create or replace function private.clients_of_admin()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select m.user_id
  from public.memberships m
  where m.role = 'client' and m.ended_at is null and m.organization_id in (select private.organizations_of_admin());
end
$$;
revoke all on function private.clients_of_admin() from public;
grant execute on function private.clients_of_admin() to authenticated;

alter table public.contact_points enable row level security;

revoke all on public.contact_points from public, anon, authenticated, service_role, vigil;

grant select, delete on public.contact_points to authenticated;
grant insert (organization_id, user_id, kind, value, note) on public.contact_points to authenticated;
grant update (value, note) on public.contact_points to authenticated;
