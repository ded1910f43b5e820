-- What a device found in a message of a strict session, signed: the sidecar sees no text there, and makes alerts of these by the same
-- policies. Two sides score each message: the device that sent it, and a clinician's that received it.
-- Closed here; opened in 20261124000501_message_scores_policies.sql.

create table if not exists public.message_scores (
  message_id uuid not null references public.messages (id) on delete cascade,
  side text not null check (side in ('sender', 'clinician')),
  session_id uuid not null,
  organization_id uuid not null,
  position bigint not null,
  epoch int not null,
  device_id uuid not null references public.devices (id),
  user_id uuid not null,
  after_position bigint not null check (after_position >= 0),
  level smallint not null check (level between 0 and 6),
  harm_others boolean not null,
  abuse boolean not null,
  distress boolean not null,
  alert boolean not null,
  escalate boolean not null,
  hard text[] not null,
  items text[] not null,
  scores int[] not null,
  rules text[] not null,
  model_version text not null check (model_version ~ '^[!-~]{1,128}$'),
  ruleset_version text not null check (ruleset_version ~ '^[!-~]{1,128}$'),
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  disagrees boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (message_id, side),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  constraint "hard names categories" check (
    hard <@ array['self_harm', 'harm_others', 'abuse', 'distress'] and coalesce(array_ndims(hard), 1) = 1
    and array_position(hard, null) is null
  ),
  constraint "items are six, each unknown, absent or present" check (
    array_ndims(items) = 1 and cardinality(items) = 6 and items <@ array['unknown', 'absent', 'present'] and array_position(items, null) is null
  ),
  constraint "scores are four, in millionths" check (
    array_ndims(scores) = 1 and cardinality(scores) = 4 and 0 <= all (scores) and 1000000 >= all (scores) and array_position(scores, null) is null
  ),
  constraint "rules are at most 64 ids, without a space" check (
    coalesce(array_ndims(rules), 1) = 1 and cardinality(rules) <= 64 and array_position(rules, null) is null and '' <> all (rules)
    and array_to_string(rules, ' ') ~ '^([!-~]{1,128}( [!-~]{1,128})*)?$'
    and cardinality(rules) = cardinality(string_to_array(array_to_string(rules, ' '), ' '))
  )
);
comment on table public.message_scores is 'What one side''s device found in a message of a strict session, signed by it. Written by that device''s owner; never text, nor where in it. Append-only.';
comment on column public.message_scores.side is 'sender: the device that sent the message; clinician: a device of the session''s therapist, of a client''s message.';
comment on column public.message_scores.after_position is 'Up to which position the detector''s state had folded the session, 0 for none. Two that read after different positions may find different things, and neither is wrong.';
comment on column public.message_scores.scores is 'Of risk, harm to others, abuse, distress: millionths.';
comment on column public.message_scores.disagrees is 'It found something else than the other side, which was there first, with the same detector after the same position: one of the two devices does not say what it saw. Set by trigger.';
create unique index if not exists message_scores_session_id_key on public.message_scores (session_id, message_id, side);
create index if not exists message_scores_position_idx on public.message_scores (session_id, position);
alter table public.message_scores replica identity using index message_scores_session_id_key;

-- What the sidecar has still to read, so that it never looks through all that it has read.
create table if not exists private.unassessed_scores (
  message_id uuid not null,
  side text not null,
  created_at timestamptz not null default now(),
  primary key (message_id, side),
  foreign key (message_id, side) references public.message_scores (message_id, side) on delete cascade
);
comment on table private.unassessed_scores is 'Scores without an assessment. Written by triggers only: a score makes a row, its assessment deletes it.';
create index if not exists unassessed_scores_created_at_idx on private.unassessed_scores (created_at);

-- What a score says of its message; two of one message are held against each other by it.
create or replace function private.score_findings(s public.message_scores)
returns jsonb
language sql immutable
set search_path = ''
as $$
  select jsonb_build_array(s.level, s.harm_others, s.abuse, s.distress, s.alert, s.escalate, s.hard, s.items, s.scores, s.rules)
$$;
revoke all on function private.score_findings(public.message_scores) from public;

-- Before each row: may this person's device score this message? The session's lock orders the two sides: the later one sees the earlier.
create or replace function private.admit_score()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  m public.messages;
  as_what text;
  other public.message_scores;
begin
  -- A message, then its session's counters: the order of all who record something of one.
  select * into m from public.messages x where x.id = new.message_id for key share;
  as_what := private.participation(m.session_id);
  if m.id is null or as_what is null then
    raise exception using errcode = '42501', message = 'only someone who takes part in the session may score its messages';
  end if;
  perform from public.session_counters c where c.session_id = m.session_id for update;
  if m.assisted then
    raise exception using errcode = 'VG026', message = 'the sidecar assesses this message', hint = 'score messages of strict epochs only';
  end if;
  perform private.require_device(new.device_id, 'a score must come from an unrevoked device of the caller');
  if not (
    new.side = 'sender' and new.device_id = m.sender_device_id
    or new.side = 'clinician' and as_what = 'therapist' and exists (
      select from public.session_participants p where p.session_id = m.session_id and p.user_id = m.sender_id and p.role = 'client'
    )
  ) then
    raise exception using errcode = '42501', message = 'a message is scored by the device that sent it, and a client''s by the therapist''s';
  end if;
  if new.after_position >= m.position then
    raise exception using errcode = '23514', message = 'a score is after a position before its message''s';
  end if;
  new.session_id := m.session_id;
  new.organization_id := m.organization_id;
  new.position := m.position;
  new.epoch := m.epoch;
  new.user_id := auth.uid();
  new.created_at := clock_timestamp();
  -- The signature covers rules and categories in one order: rules by bytes, categories by their bits.
  new.rules := array(select r.rule from unnest(new.rules) r (rule) order by r.rule collate "C");
  new.hard := array(
    select h.name from unnest(new.hard) h (name) order by array_position(array['self_harm', 'harm_others', 'abuse', 'distress'], h.name)
  );
  if exists (select from unnest(new.rules) r (rule) group by r.rule having count(*) > 1)
    or exists (select from unnest(new.hard) h (name) group by h.name having count(*) > 1)
  then
    raise exception using errcode = '23514', message = 'a score names each rule and each category once';
  end if;
  select * into other from public.message_scores s where s.message_id = new.message_id and s.side <> new.side;
  new.disagrees := other.message_id is not null
    and (other.after_position, other.model_version, other.ruleset_version) = (new.after_position, new.model_version, new.ruleset_version)
    and private.score_findings(other) <> private.score_findings(new);
  return new;
end
$$;
revoke all on function private.admit_score() from public;

create or replace trigger a_score_is_checked_before_it_is_stored
  before insert on public.message_scores
  for each row execute function private.admit_score();

create or replace function private.await_score()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into private.unassessed_scores (message_id, side) values (new.message_id, new.side);
  -- It came late, and counts all the same.
  update public.assessments a set superseded_at = now()
  where a.message_id = new.message_id and a.source = new.side and a.reason = 'unscored' and a.superseded_at is null;
  return null;
end
$$;
revoke all on function private.await_score() from public;

create or replace trigger a_score_waits_for_the_sidecar
  after insert on public.message_scores
  for each row execute function private.await_score();

create or replace function private.settle_score()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  delete from private.unassessed_scores u where u.message_id = new.message_id and u.side = new.source;
  return null;
end
$$;
revoke all on function private.settle_score() from public;

create or replace trigger an_assessment_settles_its_score
  after insert on public.assessments
  for each row
  when (new.source in ('sender', 'clinician'))
  execute function private.settle_score();

-- That nobody scored a message is not written once somebody has: under the session's lock, so that of the two the later sees the earlier.
create or replace function private.admit_unscored()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.messages m where m.id = new.message_id for key share;
  perform from public.session_counters c where c.session_id = new.session_id for update;
  if exists (select from public.message_scores s where s.message_id = new.message_id and s.side = new.source) then
    return null;
  end if;
  return new;
end
$$;
revoke all on function private.admit_unscored() from public;

create or replace trigger a_score_goes_before_its_absence
  before insert on public.assessments
  for each row
  when (new.source in ('sender', 'clinician') and new.reason = 'unscored')
  execute function private.admit_unscored();

create or replace trigger a_score_stands
  before update on public.message_scores
  for each row execute function private.refuse_change('a message is scored once by each side');

create or replace trigger written_in_the_audit_log after insert on public.message_scores
  for each row when (new.disagrees)
  execute function private.audit_row('message_id,side', 'session_id,position,side,device_id,disagrees');

-- What the sidecar has to read, the oldest first.
create or replace function private.scores_due(most int)
returns setof public.message_scores
language sql stable security definer
set search_path = ''
as $$
  select s.*
  from private.unassessed_scores u
  join public.message_scores s on s.message_id = u.message_id and s.side = u.side
  order by u.created_at, u.message_id, u.side
  limit greatest(most, 0)
$$;

-- Clients' messages of strict epochs whose device has said nothing of them for `older`, of the last day, the oldest first: a device that does
-- not score must not be one that found nothing. Settled by an assessment of source sender, reason 'unscored', or by the score.
create index if not exists messages_strict_idx on public.messages (created_at, id) where not assisted;

create or replace function private.unscored_messages(older interval, most int)
returns table (
  message_id uuid, session_id uuid, organization_id uuid, "position" bigint, epoch int, device_id uuid, created_at timestamptz
)
language sql stable security definer
set search_path = ''
as $$
  select m.id, m.session_id, m.organization_id, m.position, m.epoch, m.sender_device_id, m.created_at
  from public.messages m
  where not m.assisted
    and m.created_at < now() - older
    and m.created_at > now() - interval '1 day'
    and exists (
      select from public.session_participants p where p.session_id = m.session_id and p.user_id = m.sender_id and p.role = 'client'
    )
    and not exists (select from public.message_scores s where s.message_id = m.id and s.side = 'sender')
    and not exists (
      select from public.assessments a where a.message_id = m.id and a.source = 'sender' and a.superseded_at is null
    )
  order by m.created_at, m.id
  limit greatest(most, 0)
$$;

alter table public.message_scores enable row level security;
alter table private.unassessed_scores enable row level security;

revoke all on public.message_scores from public, anon, authenticated, service_role, vigil;
revoke all on private.unassessed_scores from public, anon, authenticated, service_role, vigil;

grant select on public.message_scores to authenticated, service_role, vigil;
grant insert (
  message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items, scores, rules,
  model_version, ruleset_version, signature
) on public.message_scores to authenticated;

revoke all on function private.scores_due(int) from public;
revoke all on function private.unscored_messages(interval, int) from public;
grant execute on function private.scores_due(int) to vigil;
grant execute on function private.unscored_messages(interval, int) to vigil;
