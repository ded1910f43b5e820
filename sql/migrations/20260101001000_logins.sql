-- What the sidecar keeps in SQL: ended logins (written by a trigger on a table that is not ours) and its own state.
-- Closed here; opened in 20260101002800_sidecar_policies.sql.

create table if not exists public.ended_logins (
  login_id uuid primary key,
  user_id uuid not null,
  ended_at timestamptz not null default now()
);
comment on table public.ended_logins is 'Logins (rows of auth.sessions) that were ended: a sign-out reaches the sidecar by the log. Written by the trigger on auth.sessions only.';
create index if not exists ended_logins_ended_at_idx on public.ended_logins (ended_at);

-- Never in the way of a sign-out: an error here is logged and swallowed.
create or replace function private.record_ended_login()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.ended_logins as l (login_id, user_id, ended_at)
  values (old.id, old.user_id, now())
  on conflict (login_id) do update set ended_at = excluded.ended_at;
  return null;
exception when others then
  raise log 'vigil: an ended login was not recorded: %', sqlerrm;
  return null;
end
$$;
revoke all on function private.record_ended_login() from public;

do $$
begin
  create or replace trigger vigil_an_ended_login_is_recorded
    after delete on auth.sessions
    for each row execute function private.record_ended_login();
exception when insufficient_privilege then
  raise notice 'no trigger on auth.sessions here: the sidecar polls private.live_logins instead';
end
$$;

create table if not exists public.sidecar_state (
  slot text primary key,
  system_id text,
  timeline int,
  stream_nonce text,
  last_lsn text,
  checkpoint bigint,
  heartbeat_at timestamptz,
  updated_at timestamptz not null default now()
);
comment on table public.sidecar_state is 'How far the sidecar has read, from which database, onto which stream; compared at start. Written by the sidecar. Not published.';

alter table public.ended_logins enable row level security;
alter table public.sidecar_state enable row level security;

revoke all on public.ended_logins, public.sidecar_state from public, anon, authenticated, service_role, vigil;

grant select on public.ended_logins, public.sidecar_state to service_role;
grant select on public.ended_logins to vigil;
grant select, insert, update on public.sidecar_state to vigil;
