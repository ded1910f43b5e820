-- Drafts for clinicians, and their text, sealed to each clinician's device. Closed here; opened in 20261123000101_suggestions_policies.sql.
--
--   requested ──▶ offered ──▶ accepted | edited | rejected       unasked ones begin offered, or not_made
--       └──▶ not_made                                            requested and offered ones become withdrawn: suggestions are turned off, the
--                                                            client withdraws consent, or newer ones have taken an offered one's place

create table if not exists public.suggestions (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  session_id uuid not null,
  message_id uuid not null references public.messages (id) on delete cascade,
  requested_by uuid,
  status text not null check (status in ('requested', 'offered', 'accepted', 'edited', 'rejected', 'withdrawn', 'not_made')),
  reason text check (reason in ('off', 'strict', 'no_consent', 'no_device', 'not_opened', 'busy', 'model_failed', 'nothing_fits')),
  source text check (source in ('bank', 'model')),
  move text check (move ~ '^[A-Za-z0-9._:/-]{1,100}$'),
  bank_version text check (bank_version ~ '^[A-Za-z0-9._:/-]{1,100}$'),
  model text check (model ~ '^[A-Za-z0-9._:/-]{1,200}$'),
  sent_message_id uuid references public.messages (id) on delete set null,
  decided_by uuid,
  decided_at timestamptz,
  version int not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  unique (id, session_id, organization_id),
  check (status <> 'requested' or requested_by is not null),
  check ((status = 'not_made') = (reason is not null)),
  check ((status in ('accepted', 'edited', 'rejected')) = (decided_at is not null)),
  check ((decided_at is null) = (decided_by is null)),
  check (status not in ('offered', 'accepted', 'edited', 'rejected') or source is not null),
  check (source is distinct from 'bank' or (move is not null and bank_version is not null)),
  check (source is distinct from 'model' or model is not null)
);
comment on table public.suggestions is 'A drafted reply to a client''s message, for its clinicians only, and what became of it; never its text. Written by request_suggestion, decide_suggestion and private.record_suggestion.';
comment on column public.suggestions.message_id is 'The client''s message that it answers.';
comment on column public.suggestions.requested_by is 'The clinician who asked; null: unasked, because of what was found in the message.';
comment on column public.suggestions.sent_message_id is 'What the clinician sent instead of nothing: a message of theirs, signed by their device. Null again once that is erased.';
comment on column public.suggestions.version is 'Rises with every change of status; decide_suggestion asks for the one that was seen.';
alter table public.suggestions replica identity using index suggestions_id_session_id_organization_id_key;
create unique index if not exists suggestions_unasked_key on public.suggestions (message_id) where requested_by is null;
create unique index if not exists suggestions_open_key on public.suggestions (message_id) where status in ('requested', 'offered');
create index if not exists suggestions_message_id_idx on public.suggestions (message_id, created_at);
create index if not exists suggestions_session_id_idx on public.suggestions (session_id, created_at);
create index if not exists suggestions_sent_message_id_idx on public.suggestions (sent_message_id) where sent_message_id is not null;
create index if not exists suggestions_organization_id_idx on public.suggestions (organization_id) where status in ('requested', 'offered');

create table if not exists public.suggestion_seals (
  suggestion_id uuid not null,
  device_id uuid not null references public.devices (id),
  user_id uuid not null,
  organization_id uuid not null,
  session_id uuid not null,
  message_id uuid not null,
  sealed text not null check (length(sealed) between 110 and 32768 and sealed ~ '^B[A-P][A-Za-z0-9_-]*$'),
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  created_at timestamptz not null default now(),
  primary key (suggestion_id, device_id),
  foreign key (suggestion_id, session_id, organization_id) references public.suggestions (id, session_id, organization_id) on delete cascade
);
comment on table public.suggestion_seals is 'A suggestion''s text, sealed to one clinician''s device and signed by the sidecar''s. Written by private.record_suggestion only; deleted with its suggestion, or when that is withdrawn.';
comment on column public.suggestion_seals.sealed is 'base64url of enc65 ‖ HPKE.seal(text); as ENVELOPE says.';
create unique index if not exists suggestion_seals_session_id_key on public.suggestion_seals (session_id, suggestion_id, device_id);
alter table public.suggestion_seals replica identity using index suggestion_seals_session_id_key;

create or replace function private.guard_suggestion()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  changing constant text[] := array[
    'status', 'reason', 'source', 'move', 'bank_version', 'model', 'sent_message_id', 'decided_by', 'decided_at', 'version', 'updated_at'
  ];
begin
  if to_jsonb(new) - 'sent_message_id' = to_jsonb(old) - 'sent_message_id' and new.sent_message_id is null then
    return new; -- the message that was sent is erased
  end if;
  if to_jsonb(new) - changing <> to_jsonb(old) - changing or (old.status, new.status) not in (
    ('requested', 'offered'), ('requested', 'not_made'), ('requested', 'withdrawn'),
    ('offered', 'accepted'), ('offered', 'edited'), ('offered', 'rejected'), ('offered', 'withdrawn')
  ) then
    raise exception using
      errcode = 'VG015',
      message = format('a suggestion that is %s cannot become %s', old.status, new.status),
      hint = 'ask for another: request_suggestion';
  end if;
  new.version := old.version + 1;
  new.updated_at := now();
  return new;
end
$$;
revoke all on function private.guard_suggestion() from public;

create or replace trigger a_suggestion_keeps_to_its_life_cycle
  before update on public.suggestions
  for each row execute function private.guard_suggestion();

create or replace trigger a_seal_stands
  before update on public.suggestion_seals
  for each row execute function private.refuse_change('it is sealed once, to one device');

-- Withdraws those, which the caller has locked, and deletes their seals: one entry in the audit log, however many they are, so that its
-- head, which the recording of alerts waits for, is held for the shortest time.
create or replace function private.withdraw_suggestions(organization uuid, subject uuid, ids uuid[])
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  if coalesce(cardinality(ids), 0) = 0 then
    return;
  end if;
  delete from public.suggestion_seals k where k.suggestion_id = any (ids);
  update public.suggestions s set status = 'withdrawn' where s.id = any (ids);
  perform private.append_audit(
    organization, 'withdraw', 'suggestions', subject::text, jsonb_build_object('status', 'withdrawn', 'count', cardinality(ids))
  );
end
$$;
revoke all on function private.withdraw_suggestions(uuid, uuid, uuid[]) from public;

-- In one transaction with the setting. What is being recorded meanwhile holds the organisation's row `for share`: it is either seen
-- here and withdrawn, or waits, and then reads 'off'.
create or replace function private.withdraw_suggestions_when_off()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.withdraw_suggestions(new.id, new.id, (
    select array_agg(l.id)
    from (
      select s.id from public.suggestions s
      where s.organization_id = new.id and s.status in ('requested', 'offered')
      order by s.id
      for update
    ) l
  ));
  return null;
end
$$;
revoke all on function private.withdraw_suggestions_when_off() from public;

create or replace trigger turning_suggestions_off_withdraws_them
  after update on public.organizations
  for each row
  when (new.suggestions = 'off' and old.suggestions <> 'off')
  execute function private.withdraw_suggestions_when_off();

-- withdraw_consent holds the session's lock, which whatever offers a suggestion holds shared, and reads the consent under. By its name
-- it fires before what writes the consent in the audit log.
create or replace function private.withdraw_suggestions_without_consent()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.withdraw_suggestions(new.organization_id, new.session_id, (
    select array_agg(l.id)
    from (
      select s.id from public.suggestions s
      where s.session_id = new.session_id and s.status in ('requested', 'offered')
      order by s.id
      for update
    ) l
  ));
  return null;
end
$$;
revoke all on function private.withdraw_suggestions_without_consent() from public;

create or replace trigger withdrawing_consent_withdraws_suggestions
  after update on public.session_consents
  for each row
  when (old.withdrawn_at is null and new.withdrawn_at is not null and 'analysis' = any (old.scope))
  execute function private.withdraw_suggestions_without_consent();

create or replace trigger written_in_the_audit_log after insert on public.suggestions
  for each row execute function private.audit_row('id', 'session_id,message_id,status,reason,requested_by');
create or replace trigger written_in_the_audit_log_when_changed after update on public.suggestions
  for each row when (old.status <> new.status and new.status <> 'withdrawn')
  execute function private.audit_row('id', 'status,reason,decided_by,sent_message_id');

alter table public.suggestions enable row level security;
alter table public.suggestion_seals enable row level security;

revoke all on public.suggestions, public.suggestion_seals from public, anon, authenticated, service_role, vigil;

grant select on public.suggestions, public.suggestion_seals to authenticated, service_role;
grant select on public.suggestions to vigil;
