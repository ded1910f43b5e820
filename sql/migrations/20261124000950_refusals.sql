-- What a client refused, in the audit log: a row that was forged, altered, withheld or shown to others otherwise. Devices see what SQL cannot.

create table if not exists private.refusals (
  session_id uuid not null references public.sessions (id) on delete cascade,
  user_id uuid not null,
  subject_table text not null,
  subject_id text not null,
  reason text not null,
  created_at timestamptz not null default now(),
  primary key (session_id, user_id, subject_table, subject_id, reason)
);
comment on table private.refusals is 'What was reported, so that it is audited once for each person. Written by report_refusal only.';
create index if not exists refusals_user_id_idx on private.refusals (user_id, created_at);

-- One entry for each row and reason that this person reports; at most 50 a day in one session, beyond which one entry says so (flood), nothing
-- else is written, and nothing raised: a client that is shown a flood of forgeries goes on refusing them. Only ids come in, for the log is read
-- by people.
create or replace function private.report_refusal(session_id uuid, subject_table text, subject_id text, reason text)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  most_a_day constant int := 50;
  a_day constant interval := interval '1 day';
  flood constant text := 'flood';
  me constant uuid := private.caller();
  organization uuid;
begin
  select s.organization_id into organization from public.sessions s where s.id = report_refusal.session_id;
  if me is null or organization is null
    or private.participation(report_refusal.session_id) is null and not private.attends(report_refusal.session_id)
  then
    raise exception using errcode = 'PT404', message = 'no such session';
  end if;
  if report_refusal.subject_table is null or report_refusal.subject_table not in (
      'messages', 'message_arrivals', 'message_scores', 'session_epochs', 'epoch_wraps', 'epoch_readers', 'session_consents', 'sessions', 'devices',
      'device_signatures', 'recovery_keys', 'attachments', 'suggestions', 'suggestion_seals'
    )
    or report_refusal.reason is null or report_refusal.reason not in (
      'format', 'suite', 'roster', 'signature', 'pin', 'consent', 'wrap', 'commitment', 'epoch', 'body', 'mode', 'score', 'device', 'split_view', 'withheld'
    )
    or report_refusal.subject_id is null or report_refusal.subject_id !~ '^[0-9a-f-]{1,36}(/[0-9a-z-]{1,36}){0,2}$'
  then
    raise exception using errcode = '23514', message = 'a refusal names a table, the ids of a row of it, with slashes, and one of the reasons';
  end if;
  perform from public.session_counters c where c.session_id = report_refusal.session_id for update;
  if exists (
    select from private.refusals r
    where r.session_id = report_refusal.session_id
      and r.user_id = me
      and r.subject_table = report_refusal.subject_table
      and r.subject_id = report_refusal.subject_id
      and r.reason = report_refusal.reason
  ) then
    return;
  end if;
  if (
    select count(*) from private.refusals r
    where r.session_id = report_refusal.session_id and r.user_id = me and r.reason <> flood and r.created_at > now() - a_day
  ) >= most_a_day then
    insert into private.refusals as r (session_id, user_id, subject_table, subject_id, reason)
    values (report_refusal.session_id, me, 'sessions', report_refusal.session_id::text, flood)
    on conflict on constraint refusals_pkey do update set created_at = now() where r.created_at <= now() - a_day;
    if found then
      perform private.append_audit(
        organization, 'refuse', 'sessions', report_refusal.session_id::text,
        jsonb_build_object('session_id', report_refusal.session_id, 'reason', flood)
      );
    end if;
    return;
  end if;
  insert into private.refusals (session_id, user_id, subject_table, subject_id, reason)
  values (report_refusal.session_id, me, report_refusal.subject_table, report_refusal.subject_id, report_refusal.reason);
  perform private.append_audit(
    organization, 'refuse', report_refusal.subject_table, report_refusal.subject_id,
    jsonb_build_object('session_id', report_refusal.session_id, 'reason', report_refusal.reason)
  );
end
$$;

create or replace function public.report_refusal(session_id uuid, subject_table text, subject_id text, reason text)
returns void language sql set search_path = ''
as $$ select private.report_refusal(session_id, subject_table, subject_id, reason) $$;

alter table private.refusals enable row level security;
revoke all on private.refusals from public, anon, authenticated, service_role, vigil;

revoke all on function private.report_refusal(uuid, text, text, text) from public;
revoke all on function public.report_refusal(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.report_refusal(uuid, text, text, text) to authenticated;
grant execute on function public.report_refusal(uuid, text, text, text) to authenticated;
