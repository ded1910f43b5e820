-- The audit log: append-only, one hash chain per organisation. Closed here; opened in 20260101002700_audit_policies.sql.

create table if not exists public.audit_log (
  organization_id uuid not null,
  seq bigint not null,
  at timestamptz not null,
  actor_id uuid,
  actor_kind text not null check (actor_kind in ('user', 'service', 'sidecar', 'operator')),
  action text not null,
  subject_table text not null,
  subject_id text not null,
  details jsonb not null default '{}',
  previous_hash text not null,
  hash text not null,
  primary key (organization_id, seq)
);
comment on table public.audit_log is 'Who did what to which row: ids, never text. Written by private.append_audit only. No foreign keys: it outlives what it tells of.';

create table if not exists private.audit_heads (
  organization_id uuid primary key,
  seq bigint not null default 0,
  hash text not null default ''
);
comment on table private.audit_heads is 'The end of each organisation''s chain; its row is the lock that orders it. Written by private.append_audit only.';

create or replace function private.audit_hash(entry public.audit_log)
returns text
language sql immutable
set search_path = ''
as $$
  select private.to_base64url(sha256(convert_to(jsonb_build_array(
    entry.previous_hash, entry.organization_id, entry.seq, (extract(epoch from entry.at) * 1000000)::bigint,
    entry.actor_id, entry.actor_kind, entry.action, entry.subject_table, entry.subject_id, entry.details
  )::text, 'UTF8')))
$$;
revoke all on function private.audit_hash(public.audit_log) from public;

create or replace function private.append_audit(organization uuid, action text, subject_table text, subject_id text, details jsonb default '{}')
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  head private.audit_heads;
  entry public.audit_log;
begin
  insert into private.audit_heads (organization_id) values (organization) on conflict do nothing;
  select * into head from private.audit_heads h where h.organization_id = organization for update;
  entry.organization_id := organization;
  entry.seq := head.seq + 1;
  entry.at := clock_timestamp();
  entry.actor_id := auth.uid();
  entry.actor_kind := case
    when auth.uid() is not null then 'user'
    when auth.role() = 'service_role' then 'service'
    when session_user = 'vigil' then 'sidecar'
    else 'operator'
  end;
  entry.action := append_audit.action;
  entry.subject_table := append_audit.subject_table;
  entry.subject_id := append_audit.subject_id;
  entry.details := coalesce(append_audit.details, '{}');
  entry.previous_hash := head.hash;
  entry.hash := private.audit_hash(entry);
  insert into public.audit_log select entry.*;
  update private.audit_heads h set seq = entry.seq, hash = entry.hash where h.organization_id = organization;
end
$$;
revoke all on function private.append_audit(uuid, text, text, text, jsonb) from public;

-- The first seq that does not hold, or null if the whole chain does. 0: rows are missing at the end.
create or replace function private.first_broken_audit(organization uuid)
returns bigint
language sql stable security definer
set search_path = ''
as $$
  select min(b.seq)
  from (
    select l.seq
    from (
      select a as entry, a.seq, a.hash, a.previous_hash,
        lag(a.hash, 1, '') over w as hash_before,
        lag(a.seq, 1, 0::bigint) over w as seq_before
      from public.audit_log a
      where a.organization_id = organization
      window w as (order by a.seq)
    ) l
    where l.seq <> l.seq_before + 1
      or l.previous_hash <> l.hash_before
      or l.hash <> private.audit_hash(l.entry)
    union all
    select 0
    from private.audit_heads h
    where h.organization_id = organization
      and h.seq > 0
      and not exists (
        select from public.audit_log a where a.organization_id = organization and a.seq = h.seq and a.hash = h.hash
      )
  ) b
$$;
revoke all on function private.first_broken_audit(uuid) from public;

-- After any change of an audited row. TG_ARGV[0]: its key columns, TG_ARGV[1]: the columns whose values are told (ids, states, times).
create or replace function private.audit_row()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  after_row jsonb := case when tg_op = 'DELETE' then null else to_jsonb(new) end;
  before_row jsonb := case when tg_op = 'INSERT' then null else to_jsonb(old) end;
  subject jsonb := coalesce(after_row, before_row);
  told text[] := string_to_array(tg_argv[1], ',');
  details jsonb;
  subject_key text;
begin
  select jsonb_object_agg(c.name, coalesce(after_row, before_row) -> c.name) into details
  from unnest(told) as c (name)
  where tg_op <> 'UPDATE' or after_row -> c.name is distinct from before_row -> c.name;
  if tg_op = 'UPDATE' and details is null then
    return null;
  end if;
  select string_agg(subject ->> k.name, '/' order by k.at) into subject_key
  from unnest(string_to_array(tg_argv[0], ',')) with ordinality as k (name, at);
  perform private.append_audit(
    coalesce(subject ->> 'organization_id', subject ->> 'id')::uuid, lower(tg_op), tg_table_name::text, subject_key, details
  );
  return null;
end
$$;
revoke all on function private.audit_row() from public;

-- Named to fire last: the chain's head is locked after every other row that a change locks, always, or two changes could wait for
-- each other.
create or replace trigger written_in_the_audit_log after insert or update or delete on public.organizations
  for each row execute function private.audit_row('id', 'suggestions,require_aal2');
create or replace trigger written_in_the_audit_log after insert or update or delete on public.memberships
  for each row execute function private.audit_row('organization_id,user_id', 'role,ended_at');
create or replace trigger written_in_the_audit_log after update on public.crisis_policies
  for each row execute function private.audit_row('organization_id', 'page_at_level,review_at_level,version');
create or replace trigger written_in_the_audit_log after insert or update or delete on public.sessions
  for each row execute function private.audit_row('id', 'mode,status');
create or replace trigger written_in_the_audit_log after insert or update or delete on public.session_participants
  for each row execute function private.audit_row('session_id,user_id', 'role,ended_at');
create or replace trigger written_in_the_audit_log after insert or update or delete on public.session_consents
  for each row execute function private.audit_row('session_id,id', 'user_id,device_id,scope,withdrawn_at');
create or replace trigger written_in_the_audit_log after insert or update or delete on public.oncall_shifts
  for each row execute function private.audit_row('organization_id,user_id,starts_at', 'ends_at,flagged_at');
create or replace trigger written_in_the_audit_log after insert on public.alert_events
  for each row execute function private.audit_row('alert_id', 'kind,version,session_id');
create or replace trigger written_in_the_audit_log after delete on public.messages
  for each row execute function private.audit_row('id', 'session_id,position');
create or replace trigger written_in_the_audit_log after delete on public.epoch_wraps
  for each row execute function private.audit_row('session_id,epoch,device_id', 'device_id,role');

create or replace trigger the_audit_log_stands
  before update or delete on public.audit_log
  for each row execute function private.refuse_change('what happened is never rewritten');
create or replace trigger the_audit_log_is_not_truncated
  before truncate on public.audit_log
  for each statement execute function private.refuse_change('what happened is never rewritten');

alter table public.audit_log enable row level security;
alter table private.audit_heads enable row level security;

revoke all on public.audit_log from public, anon, authenticated, service_role, vigil;
revoke all on private.audit_heads from public, anon, authenticated, service_role, vigil;

grant select on public.audit_log to authenticated, service_role;
