-- What was found in a message. Closed here; opened in 20260101002500_assessments_policies.sql.

create table if not exists public.assessments (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  session_id uuid not null,
  message_id uuid not null references public.messages (id) on delete cascade,
  position bigint not null,
  source text not null default 'sidecar' check (length(source) between 1 and 100),
  status text not null check (status in ('assessed', 'not_assessed')),
  reason text check (length(reason) <= 200),
  level smallint check (level between 0 and 6),
  harm_others boolean,
  abuse boolean,
  distress boolean,
  sentiment real check (sentiment between -1 and 1),
  topics text[] not null default '{}',
  evidence jsonb not null default '[]',
  alert boolean not null default false,
  escalate boolean not null default false,
  model_version text,
  ruleset_version text,
  policy_version int,
  superseded_at timestamptz,
  created_at timestamptz not null default now(),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  unique (id, session_id, organization_id),
  check (status = 'assessed' or reason is not null)
);
comment on table public.assessments is 'All that was found in one message, or why it was not assessed. Written by the sidecar. A reassessment supersedes; nothing else changes.';
comment on column public.assessments.level is 'Self-harm on the Columbia scale, 0 to 6; null is unknown, which is not 0.';
comment on column public.assessments.evidence is 'Offsets and rule ids; never text.';
alter table public.assessments replica identity using index assessments_id_session_id_organization_id_key;
create unique index if not exists assessments_message_id_source_key on public.assessments (message_id, source) where superseded_at is null;
create index if not exists assessments_session_id_idx on public.assessments (session_id, position);

create or replace function private.guard_assessment()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if to_jsonb(new) - 'superseded_at' <> to_jsonb(old) - 'superseded_at' or old.superseded_at is not null then
    raise exception using errcode = 'VG015', message = 'an assessment stands until it is superseded, once';
  end if;
  return new;
end
$$;
revoke all on function private.guard_assessment() from public;

create or replace trigger an_assessment_stands
  before update on public.assessments
  for each row execute function private.guard_assessment();

alter table public.assessments enable row level security;

revoke all on public.assessments from public, anon, authenticated, service_role, vigil;

grant select on public.assessments to authenticated, service_role;
grant select, insert on public.assessments to vigil;
grant update (superseded_at) on public.assessments to vigil;
