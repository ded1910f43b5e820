-- Therapy sessions, who takes part, and two counters each. Closed here; opened in 20260101002100_sessions_policies.sql.
--
--   scheduled ──▶ active ⇄ paused ──▶ ended          (a session of any status may be ended; an ended one stays so)

create table if not exists public.sessions (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organizations (id),
  mode text not null check (mode in ('strict', 'assisted')),
  status text not null default 'scheduled' check (status in ('scheduled', 'active', 'paused', 'ended')),
  min_epoch int not null default 1 check (min_epoch >= 1),
  scheduled_for timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  created_by uuid,
  created_at timestamptz not null default now(),
  unique (id, organization_id)
);
comment on table public.sessions is 'One therapy session. Written by the RPCs create_session, start_session, pause_session, resume_session, end_session and change_session_mode.';
comment on column public.sessions.min_epoch is 'A message sealed under an older epoch is refused. Raised by triggers when someone or some device loses access.';
alter table public.sessions replica identity using index sessions_id_organization_id_key;
create index if not exists sessions_organization_id_idx on public.sessions (organization_id, created_at desc);

create table if not exists public.session_counters (
  session_id uuid primary key references public.sessions (id) on delete cascade,
  last_position bigint not null default 0,
  last_assisted_position bigint not null default 0
) with (fillfactor = 50);
comment on table public.session_counters is 'The last position given in a session; its row is the lock that orders messages against every change of access. Written by triggers only. Not published.';

create table if not exists public.session_progress (
  session_id uuid primary key references public.sessions (id) on delete cascade,
  organization_id uuid not null,
  assessed_position bigint not null default 0,
  state jsonb,
  state_version int not null default 0,
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
comment on table public.session_progress is 'Up to which position a session is assessed, and the detector''s state there. Made with the session; updated by the sidecar, by compare-and-set. Not published.';

create table if not exists public.session_participants (
  session_id uuid not null,
  user_id uuid not null references auth.users (id),
  organization_id uuid not null,
  role text not null check (role in ('client', 'therapist')),
  joined_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (session_id, user_id),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  foreign key (organization_id, user_id) references public.memberships (organization_id, user_id)
);
comment on table public.session_participants is 'Who takes part in a session. Written by create_session, and by operators. Someone takes part while both this row and the membership are not ended.';
create index if not exists session_participants_user_id_idx on public.session_participants (user_id, session_id);
create index if not exists session_participants_membership_idx on public.session_participants (organization_id, user_id);

create or replace function private.open_session()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.session_counters (session_id) values (new.id);
  insert into public.session_progress (session_id, organization_id) values (new.id, new.organization_id);
  return null;
end
$$;
revoke all on function private.open_session() from public;

create or replace trigger a_session_gets_its_counters
  after insert on public.sessions
  for each row execute function private.open_session();

-- The life cycle, for every writer: RPCs, operators, the service role.
create or replace function private.guard_session()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  waits_for jsonb;
begin
  if new.id <> old.id or new.organization_id <> old.organization_id then
    raise exception using errcode = 'VG002', message = 'a session keeps its id and its organisation';
  end if;
  if new.min_epoch < old.min_epoch then
    raise exception using errcode = 'VG002', message = 'min_epoch never goes back';
  end if;
  if new.status <> old.status or new.mode <> old.mode then
    perform from public.session_counters where session_id = new.id for update;
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('scheduled', 'active'), ('active', 'paused'), ('paused', 'active'),
    ('scheduled', 'ended'), ('active', 'ended'), ('paused', 'ended')
  ) then
    raise exception using
      errcode = 'VG002',
      message = format('a session that is %s cannot become %s', old.status, new.status),
      detail = jsonb_build_object('status', old.status)::text;
  end if;
  if new.mode <> old.mode then
    if old.status = 'ended' then
      raise exception using errcode = 'VG002', message = 'an ended session keeps its mode', detail = '{"status": "ended"}';
    end if;
    new.min_epoch := greatest(new.min_epoch, private.next_epoch(new.id));
  end if;
  if old.status = 'scheduled' and new.status = 'active' then
    waits_for := private.session_waits_for(new.id);
    if jsonb_array_length(waits_for) > 0 then
      raise exception using
        errcode = 'VG001',
        message = 'the session waits for people who have no device yet',
        detail = waits_for::text,
        hint = 'detail is the list of their user ids; each must sign in once on a device';
    end if;
    new.started_at := now();
  end if;
  if new.status = 'ended' and old.status <> 'ended' then
    new.ended_at := now();
  end if;
  return new;
end
$$;
revoke all on function private.guard_session() from public;

create or replace trigger a_session_keeps_to_its_life_cycle
  before update on public.sessions
  for each row execute function private.guard_session();

-- A participant's role must fit the membership: a client is a client, a therapist is a therapist or a supervisor.
create or replace function private.check_participant()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  membership_role text;
begin
  if tg_op = 'UPDATE' and (new.session_id, new.user_id, new.organization_id) <> (old.session_id, old.user_id, old.organization_id) then
    raise exception using errcode = 'VG016', message = 'a participant''s row keeps its session and its person';
  end if;
  if new.ended_at is not null then
    return new;
  end if;
  select m.role into membership_role
  from public.memberships m
  where m.organization_id = new.organization_id
    and m.user_id = new.user_id
    and m.ended_at is null;
  if membership_role is null or membership_role = 'admin' or (new.role = 'client') <> (membership_role = 'client') then
    raise exception using
      errcode = 'VG016',
      message = format('a %s of a session needs a live membership of that kind', new.role),
      detail = jsonb_build_object('user_id', new.user_id, 'membership', membership_role)::text;
  end if;
  return new;
end
$$;
revoke all on function private.check_participant() from public;

create or replace trigger a_participant_needs_a_membership
  before insert or update on public.session_participants
  for each row execute function private.check_participant();

alter table public.sessions enable row level security;
alter table public.session_counters enable row level security;
alter table public.session_progress enable row level security;
alter table public.session_participants enable row level security;

revoke all on public.sessions, public.session_counters, public.session_progress, public.session_participants
  from public, anon, authenticated, service_role, vigil;

grant select on public.sessions, public.session_participants to authenticated;
grant select on public.sessions, public.session_counters, public.session_progress, public.session_participants to service_role;
grant select on public.sessions, public.session_counters, public.session_progress, public.session_participants to vigil;
grant update (assessed_position, state, state_version, updated_at) on public.session_progress to vigil;
