-- Pages: that an alert must reach somebody outside the app, and what came of it. Closed here; opened in 20261123000301_alert_pages_policies.sql.
--
--   pending ──▶ sent | failed        a failed one may be made pending again by an operator; a sent one stays so

create table if not exists public.alert_pages (
  alert_id uuid not null,
  step smallint not null check (step >= 1),
  organization_id uuid not null,
  session_id uuid not null,
  level smallint check (level between 0 and 6),
  status text not null default 'pending' check (status in ('pending', 'sent', 'failed')),
  attempts int not null default 0 check (attempts >= 0),
  next_attempt_at timestamptz not null default now(),
  last_error text check (last_error ~ '^[a-z0-9_]{1,64}$'),
  sent_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (alert_id, step),
  foreign key (alert_id, session_id, organization_id) references public.alerts (id, session_id, organization_id) on delete cascade,
  check (status <> 'sent' or sent_at is not null)
);
comment on table public.alert_pages is 'One page of an alert, per step. Inserted by trigger with the alert, and again when that is reopened: from page_at_level up, for a danger to others, and once an hour per session for what could not be assessed; its progress is written by the sidecar. Not published.';
comment on column public.alert_pages.level is 'As in alerts; null: the message could not be assessed, and a person must look.';
comment on column public.alert_pages.last_error is 'A short code, never what the other side said.';
create index if not exists alert_pages_session_id_idx on public.alert_pages (session_id);
create index if not exists alert_pages_pending_idx on public.alert_pages (next_attempt_at) where status = 'pending';

create table if not exists public.alert_page_deliveries (
  alert_id uuid not null,
  step smallint not null,
  channel text not null check (channel in ('webhook', 'email')),
  recipient text not null default '' check (recipient ~ '^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$'),
  status text not null default 'claimed' check (status in ('claimed', 'sent', 'failed')),
  claimed_at timestamptz not null default now(),
  sent_at timestamptz,
  primary key (alert_id, step, channel, recipient),
  foreign key (alert_id, step) references public.alert_pages (alert_id, step) on delete cascade,
  check ((channel = 'email') = (recipient <> '')),
  check (status <> 'sent' or sent_at is not null)
);
comment on table public.alert_page_deliveries is 'What a page was sent by, and to whom: once each. Written by the edge function notify, as service_role; nobody else sees it.';
comment on column public.alert_page_deliveries.recipient is 'A user id for email, never an address; empty for the webhook.';

create or replace function private.deserves_page(a public.alerts)
returns boolean
language sql stable security definer
set search_path = ''
as $$
  select coalesce(a.level >= coalesce((select c.page_at_level from public.crisis_policies c where c.organization_id = a.organization_id), 4), false)
    or exists (select from public.assessments x where x.id = a.assessment_id and x.harm_others)
    or a.level is null and not exists (
      select from public.alert_pages p
      where p.session_id = a.session_id
        and p.alert_id <> a.id
        and p.level is null
        and p.status <> 'failed'
        and p.created_at > now() - interval '1 hour'
    )
$$;
revoke all on function private.deserves_page(public.alerts) from public;

-- The page is written with the alert: an alert that exists has its page, whatever happens to the sidecar afterwards.
create or replace function private.page_alert()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.alert_pages (alert_id, step, organization_id, session_id, level)
  select new.id, 1, new.organization_id, new.session_id, new.level
  where private.deserves_page(new)
  on conflict do nothing;
  return null;
end
$$;
revoke all on function private.page_alert() from public;

create or replace trigger a_grave_alert_is_paged
  after insert on public.alerts
  for each row execute function private.page_alert();

-- Whoever took it is gone, so somebody must be found again. The alert's row, which the event has locked, orders the steps.
create or replace function private.page_reopened_alert()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.alert_pages (alert_id, step, organization_id, session_id, level)
  select a.id, coalesce((select max(p.step) from public.alert_pages p where p.alert_id = a.id), 0) + 1, a.organization_id, a.session_id, a.level
  from public.alerts a
  where a.id = new.alert_id and private.deserves_page(a);
  return null;
end
$$;
revoke all on function private.page_reopened_alert() from public;

create or replace trigger a_reopened_alert_is_paged
  after insert on public.alert_events
  for each row
  when (new.kind = 'reopened')
  execute function private.page_reopened_alert();

create or replace function private.guard_alert_page()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  changing constant text[] := array['status', 'attempts', 'next_attempt_at', 'last_error', 'sent_at'];
begin
  if old.status = 'sent' or to_jsonb(new) - changing <> to_jsonb(old) - changing then
    raise exception using errcode = 'VG015', message = 'a page that was sent stands, and every page keeps its alert';
  end if;
  return new;
end
$$;
revoke all on function private.guard_alert_page() from public;

create or replace trigger a_sent_page_stands
  before update on public.alert_pages
  for each row execute function private.guard_alert_page();

create or replace trigger written_in_the_audit_log after update on public.alert_pages
  for each row when (old.status <> new.status)
  execute function private.audit_row('alert_id,step', 'status,attempts,last_error');

alter table public.alert_pages enable row level security;
alter table public.alert_page_deliveries enable row level security;

revoke all on public.alert_pages, public.alert_page_deliveries from public, anon, authenticated, service_role, vigil;

grant select on public.alert_pages to authenticated, service_role, vigil;
grant update (status, attempts, next_attempt_at, last_error, sent_at) on public.alert_pages to vigil;
grant select, insert, update on public.alert_page_deliveries to service_role;
