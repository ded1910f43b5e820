-- What a device found in a message of a strict session, signed: the sidecar sees no text there, and makes alerts of these by the same
-- policies. Two sides score each message: the device that sent it, and a clinician's that received it. SQL cannot verify a signature, and a
-- token is enough to insert: so more than one row may stand of a side, and the first that the sidecar verifies is the side's. Garbage takes
-- nobody's place.
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
  primary key (message_id, side, signature),
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
comment on table public.message_scores is 'What one side''s device found in a message of a strict session, signed by it: it counts for whoever verifies that. Written by that device''s owner, or with their token; never text, nor where in it. Append-only.';
comment on column public.message_scores.side is 'sender: the device that sent the message; clinician: a device of the session''s therapist, of a client''s message.';
comment on column public.message_scores.after_position is 'Up to which position the detector''s state had folded the session, 0 for none. Two that read after different positions may find different things, and neither is wrong.';
comment on column public.message_scores.scores is 'Of risk, harm to others, abuse, distress: millionths.';
comment on column public.message_scores.disagrees is 'It found something else than the other side, which was there first, with the same detector after the same position: one of the two devices does not say what it saw. What the sidecar has refused is no other side; what it has yet to read is. Set by trigger.';
create unique index if not exists message_scores_session_id_key on public.message_scores (session_id, message_id, side, signature);
create index if not exists message_scores_position_idx on public.message_scores (session_id, position);
alter table public.message_scores replica identity using index message_scores_session_id_key;

-- What the sidecar has still to read, so that it never looks through all that it has read.
create table if not exists private.unassessed_scores (
  message_id uuid not null,
  side text not null,
  signature text not null,
  created_at timestamptz not null default now(),
  primary key (message_id, side, signature),
  foreign key (message_id, side, signature) references public.message_scores (message_id, side, signature) on delete cascade
);
comment on table private.unassessed_scores is 'Scores that the sidecar has not judged. Written by trigger and private.settle_score: a score makes a row, its judgement deletes it.';
create index if not exists unassessed_scores_created_at_idx on private.unassessed_scores (created_at);

create table if not exists private.refused_scores (
  message_id uuid not null,
  side text not null,
  signature text not null,
  primary key (message_id, side, signature),
  foreign key (message_id, side, signature) references public.message_scores (message_id, side, signature) on delete cascade
);
comment on table private.refused_scores is 'Scores that their device did not sign, or may not have. Written by private.refuse_score only.';

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
  most_a_minute constant int := 8;
  m public.messages;
  as_what text;
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
  if exists (
    select from public.assessments a
    where a.message_id = m.id and a.source = new.side and a.status = 'assessed' and a.superseded_at is null
  ) then
    raise exception using errcode = 'VG029', message = 'a score of this side, which was verified, stands';
  end if;
  -- The same score again is the key's to refuse. Others find room a minute later, however many there are.
  if (
    select count(*) from public.message_scores s
    where s.message_id = m.id and s.side = new.side and s.signature <> new.signature and s.created_at > clock_timestamp() - interval '1 minute'
  ) >= most_a_minute then
    raise exception using errcode = 'PT429', message = 'too many scores of this message in a minute', hint = 'try again in a minute';
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
  -- Of several that wait to be judged, one that agrees is enough: the others may be anybody's.
  select coalesce(bool_and(private.score_findings(s) <> private.score_findings(new)), false) into new.disagrees
  from public.message_scores s
  where s.message_id = new.message_id
    and s.side <> new.side
    and (s.after_position, s.model_version, s.ruleset_version) = (new.after_position, new.model_version, new.ruleset_version)
    and not exists (
      select from private.refused_scores x where x.message_id = s.message_id and x.side = s.side and x.signature = s.signature
    );
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
  insert into private.unassessed_scores (message_id, side, signature) values (new.message_id, new.side, new.signature);
  return null;
end
$$;
revoke all on function private.await_score() from public;

create or replace trigger a_score_waits_for_the_sidecar
  after insert on public.message_scores
  for each row execute function private.await_score();

-- The sidecar has judged a score, and records now what comes of it, in this transaction. False: it was judged already, or is erased. One that
-- counts takes the place of what was recorded for want of it. Under the session's lock, so that of two judgements the later sees the earlier.
create or replace function private.settle_score(message_id uuid, side text, signature text, counts boolean)
returns boolean
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.messages m where m.id = settle_score.message_id for key share;
  perform from public.session_counters c
  where c.session_id = (select m.session_id from public.messages m where m.id = settle_score.message_id)
  for update;
  delete from private.unassessed_scores u
  where u.message_id = settle_score.message_id and u.side = settle_score.side and u.signature = settle_score.signature;
  if not found then
    return false;
  end if;
  if counts then
    update public.assessments a set superseded_at = now()
    where a.message_id = settle_score.message_id
      and a.source = settle_score.side
      and a.status = 'not_assessed'
      and a.superseded_at is null;
  end if;
  return true;
end
$$;

-- Notes a settled score as one that its device did not sign, or may not have: once, and in the audit log.
create or replace function private.refuse_score(message_id uuid, side text, signature text)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.message_scores;
begin
  select * into s from public.message_scores x
  where x.message_id = refuse_score.message_id and x.side = refuse_score.side and x.signature = refuse_score.signature;
  insert into private.refused_scores select s.message_id, s.side, s.signature where s.message_id is not null on conflict do nothing;
  if found then
    perform private.append_audit(
      s.organization_id, 'refuse', 'message_scores', s.message_id || '/' || s.side,
      jsonb_build_object('session_id', s.session_id, 'position', s.position, 'side', s.side, 'device_id', s.device_id, 'reason', 'score')
    );
  end if;
end
$$;

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
  for each row execute function private.refuse_change('a score stands as it was signed');

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
  join public.message_scores s on s.message_id = u.message_id and s.side = u.side and s.signature = u.signature
  order by s.created_at, s.message_id, s.side, s.signature
  limit greatest(most, 0)
$$;

-- Clients' messages of strict epochs whose device has said nothing of them for `older`, of the last day, the oldest first: a device that does
-- not score must not be one that found nothing. Settled by an assessment of source sender, reason 'unscored', or by a score.
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
alter table private.refused_scores enable row level security;

revoke all on public.message_scores from public, anon, authenticated, service_role, vigil;
revoke all on private.unassessed_scores from public, anon, authenticated, service_role, vigil;
revoke all on private.refused_scores from public, anon, authenticated, service_role, vigil;

grant select on public.message_scores to authenticated, service_role, vigil;
grant insert (
  message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items, scores, rules,
  model_version, ruleset_version, signature
) on public.message_scores to authenticated;

revoke all on function private.scores_due(int) from public;
revoke all on function private.settle_score(uuid, text, text, boolean) from public;
revoke all on function private.refuse_score(uuid, text, text) from public;
revoke all on function private.unscored_messages(interval, int) from public;
grant execute on function private.scores_due(int) to vigil;
grant execute on function private.settle_score(uuid, text, text, boolean) to vigil;
grant execute on function private.refuse_score(uuid, text, text) to vigil;
grant execute on function private.unscored_messages(interval, int) to vigil;
