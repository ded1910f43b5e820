-- Alerts, whom they reach, what was done about them, and who is on call.
-- Closed here; opened in 20260101002600_alerts_policies.sql.
--
--   raised ──▶ open ──▶ acknowledged ──▶ resolved        a resolved alert stays so; `reopened` takes an acknowledged one back to open
--                └────────────────────────▲              every step is a row of alert_events, and nothing else changes an alert

create table if not exists public.alerts (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  session_id uuid not null,
  message_id uuid not null references public.messages (id) on delete cascade,
  assessment_id uuid not null,
  level smallint check (level between 0 and 6),
  status text not null default 'open' check (status in ('open', 'acknowledged', 'resolved')),
  version int not null default 1,
  source text not null default 'sidecar' check (length(source) between 1 and 100),
  policy_version int,
  ruleset_version text,
  model_version text,
  raised_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  foreign key (assessment_id, session_id, organization_id) references public.assessments (id, session_id, organization_id) on delete cascade,
  unique (message_id, source),
  unique (id, session_id, organization_id)
);
comment on table public.alerts is 'An assessment severe enough that a clinician must act. Inserted by the sidecar; changed only by what is inserted into alert_events.';
comment on column public.alerts.level is 'As in assessments; null: the message could not be assessed, and a person must look.';
alter table public.alerts replica identity using index alerts_id_session_id_organization_id_key;
create index if not exists alerts_session_id_idx on public.alerts (session_id);
create index if not exists alerts_assessment_id_idx on public.alerts (assessment_id);
create index if not exists alerts_unresolved_idx on public.alerts (organization_id, raised_at) where status <> 'resolved';

create table if not exists public.alert_recipients (
  alert_id uuid not null,
  user_id uuid not null references auth.users (id) on delete cascade,
  organization_id uuid not null,
  session_id uuid not null,
  reason text not null check (reason in ('therapist', 'on_call', 'supervisor')),
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (alert_id, user_id),
  foreign key (alert_id, session_id, organization_id) references public.alerts (id, session_id, organization_id) on delete cascade
);
comment on table public.alert_recipients is 'Whom an alert reaches, and why. Inserted by the sidecar; ended_at is set by trigger.';
comment on column public.alert_recipients.ended_at is 'When the alert was resolved: from then on this row gives no right to the session.';
create index if not exists alert_recipients_user_id_idx on public.alert_recipients (user_id);
create unique index if not exists alert_recipients_session_id_key on public.alert_recipients (session_id, alert_id, user_id);
alter table public.alert_recipients replica identity using index alert_recipients_session_id_key;

create table if not exists public.alert_events (
  id uuid primary key default gen_random_uuid(),
  alert_id uuid not null,
  organization_id uuid not null,
  session_id uuid not null,
  kind text not null check (kind in ('raised', 'acknowledged', 'resolved', 'reopened')),
  actor_id uuid,
  version int not null,
  created_at timestamptz not null default now(),
  unique (alert_id, version),
  foreign key (alert_id, session_id, organization_id) references public.alerts (id, session_id, organization_id) on delete cascade
);
comment on table public.alert_events is 'The only way an alert changes state. Written by the sidecar (raised), by acknowledge_alert and resolve_alert, and by trigger (reopened). Append-only.';
create unique index if not exists alert_events_session_id_key on public.alert_events (session_id, organization_id, id);
alter table public.alert_events replica identity using index alert_events_session_id_key;

create table if not exists public.oncall_shifts (
  organization_id uuid not null,
  user_id uuid not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  flagged_at timestamptz,
  primary key (organization_id, user_id, starts_at),
  foreign key (organization_id, user_id) references public.memberships (organization_id, user_id) on delete cascade,
  check (ends_at > starts_at)
);
comment on table public.oncall_shifts is 'Who is on call, when. Written by admins and supervisors.';
comment on column public.oncall_shifts.flagged_at is 'The person''s membership ended or changed: the shift must be given to someone else. Set by trigger.';
create index if not exists oncall_shifts_time_idx on public.oncall_shifts (organization_id, ends_at);

-- Before an event: does it follow? The alert's row is the lock.
create or replace function private.admit_alert_event()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  a public.alerts;
begin
  select * into a from public.alerts where id = new.alert_id for update;
  if a.id is null then
    raise exception using errcode = '23503', message = 'an event needs its alert', table = 'alert_events', schema = 'public';
  end if;
  new.organization_id := a.organization_id;
  new.session_id := a.session_id;
  if new.kind = 'raised' then
    new.actor_id := null;
    if new.version is distinct from 1 or a.version <> 1 then
      raise exception using errcode = '23505', message = 'this alert is already raised', table = 'alert_events', schema = 'public',
        constraint = 'alert_events_alert_id_version_key';
    end if;
    return new;
  end if;
  if new.version is distinct from a.version + 1
    or (new.kind, a.status) not in (
      ('acknowledged', 'open'), ('resolved', 'open'), ('resolved', 'acknowledged'), ('reopened', 'acknowledged')
    )
  then
    raise exception using
      errcode = 'PT409',
      message = format('the alert is %s at version %s', a.status, a.version),
      detail = jsonb_build_object('status', a.status, 'version', a.version)::text,
      hint = 'read the alert again: someone was first';
  end if;
  return new;
end
$$;
revoke all on function private.admit_alert_event() from public;

create or replace trigger an_alert_event_must_follow
  before insert on public.alert_events
  for each row execute function private.admit_alert_event();

create or replace function private.apply_alert_event()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if new.kind = 'raised' then
    return null;
  end if;
  update public.alerts set
    status = case new.kind when 'acknowledged' then 'acknowledged' when 'resolved' then 'resolved' else 'open' end,
    version = new.version,
    updated_at = now()
  where id = new.alert_id;
  if new.kind = 'resolved' then
    update public.alert_recipients set ended_at = now() where alert_id = new.alert_id and ended_at is null;
  end if;
  return null;
end
$$;
revoke all on function private.apply_alert_event() from public;

create or replace trigger an_alert_event_changes_its_alert
  after insert on public.alert_events
  for each row execute function private.apply_alert_event();

create or replace trigger an_alert_event_stands
  before update on public.alert_events
  for each row execute function private.refuse_change('insert the next event');

create or replace function private.guard_alert()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  unchanging constant text[] := array['status', 'version', 'updated_at'];
begin
  perform from public.alert_events v
  where v.alert_id = old.id
    and v.version = new.version
    and new.version = old.version + 1
    and new.status = case v.kind when 'acknowledged' then 'acknowledged' when 'resolved' then 'resolved' else 'open' end;
  if not found or to_jsonb(new) - unchanging <> to_jsonb(old) - unchanging then
    raise exception using errcode = 'VG015', message = 'an alert changes only by a row of alert_events', hint = 'call acknowledge_alert or resolve_alert';
  end if;
  return new;
end
$$;
revoke all on function private.guard_alert() from public;

create or replace trigger an_alert_changes_only_by_an_event
  before update on public.alerts
  for each row execute function private.guard_alert();

-- An alert begins open, at version 1, whoever inserts it.
create or replace function private.begin_alert()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.status := 'open';
  new.version := 1;
  return new;
end
$$;
revoke all on function private.begin_alert() from public;

create or replace trigger an_alert_begins_open
  before insert on public.alerts
  for each row execute function private.begin_alert();

alter table public.alerts enable row level security;
alter table public.alert_recipients enable row level security;
alter table public.alert_events enable row level security;
alter table public.oncall_shifts enable row level security;

revoke all on public.alerts, public.alert_recipients, public.alert_events, public.oncall_shifts
  from public, anon, authenticated, service_role, vigil;

grant select on public.alerts, public.alert_recipients, public.alert_events, public.oncall_shifts to authenticated, service_role;
grant insert (organization_id, user_id, starts_at, ends_at), update (ends_at), delete on public.oncall_shifts to authenticated;
grant insert, update, delete on public.oncall_shifts to service_role;
grant select, insert on public.alerts, public.alert_recipients, public.alert_events to vigil;
grant select on public.oncall_shifts to vigil;
