-- Asking for a suggestion, recording it, deciding about it. Every writer locks in one order: the organisation, the session's counter,
-- the suggestions by id, the audit log's head. Only what newer ones displace is locked later, and never waited for.

-- Nobody decides about a draft once the conversation has gone on: a new one withdraws the session's offered ones that a therapist's
-- message lies between, and of the others all but the two for the latest messages. What somebody else holds just now, such as a
-- decision, is left to the next.
create or replace function private.withdraw_displaced_suggestions(made public.suggestions)
returns void
language sql security definer
set search_path = ''
as $$
  select private.withdraw_suggestions(made.organization_id, made.session_id, array_agg(l.id))
  from (
    select s.id
    from public.suggestions s
    join public.messages m on m.id = s.message_id
    where s.session_id = made.session_id
      and s.status = 'offered'
      and s.id <> made.id
      and (
        exists (
          select from public.messages t
          join public.session_participants p on p.session_id = t.session_id and p.user_id = t.sender_id and p.role = 'therapist'
          where t.session_id = made.session_id
            and t.position > m.position
            and t.position < (select n.position from public.messages n where n.id = made.message_id)
        )
        or (
          select count(*) from public.suggestions x
          join public.messages y on y.id = x.message_id
          where x.session_id = made.session_id and x.status = 'offered' and x.id <> made.id and y.position > m.position
        ) >= 2
      )
    for update of s skip locked
  ) l
$$;

create or replace function private.request_suggestion(session_id uuid)
returns public.suggestions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions;
  setting text;
  answered public.messages;
  made public.suggestions;
begin
  select * into s from public.sessions x where x.id = request_suggestion.session_id;
  if s.id is null or s.id not in (select private.sessions_of_caller()) then
    raise exception using errcode = 'PT404', message = 'no such session';
  end if;
  if private.participation(s.id) is distinct from 'therapist' then
    raise exception using errcode = '42501', message = 'only the session''s therapist may ask for a suggestion';
  end if;
  select o.suggestions into setting from public.organizations o where o.id = s.organization_id for share;
  if setting = 'off' then
    raise exception using errcode = 'VG019', message = 'suggestions are off in this organisation',
      detail = jsonb_build_object('suggestions', setting)::text;
  end if;
  if s.status = 'ended' then
    raise exception using errcode = 'VG002', message = 'the session has ended', detail = jsonb_build_object('status', s.status)::text;
  end if;
  if s.mode = 'strict' then
    raise exception using errcode = 'VG020', message = 'nothing is read in a strict session, so nothing is suggested', detail = '{"mode": "strict"}';
  end if;
  select m.* into answered
  from public.messages m
  join public.session_participants p on p.session_id = m.session_id and p.user_id = m.sender_id and p.role = 'client'
  where m.session_id = s.id
  order by m.position desc
  limit 1;
  if answered.id is null then
    raise exception using errcode = 'VG021', message = 'the client has sent nothing yet';
  end if;
  if not answered.assisted then
    raise exception using errcode = 'VG020', message = 'the client''s last message was sent unread', detail = '{"mode": "strict"}';
  end if;

  loop
    insert into public.suggestions (organization_id, session_id, message_id, requested_by, status)
    values (s.organization_id, s.id, answered.id, auth.uid(), 'requested')
    on conflict do nothing
    returning * into made;
    if made.id is not null then
      perform private.withdraw_displaced_suggestions(made);
      exit;
    end if;
    select * into made from public.suggestions x where x.message_id = answered.id and x.status in ('requested', 'offered');
    exit when made.id is not null; -- else it was decided between the two statements
  end loop;
  return made;
end
$$;

create or replace function private.decide_suggestion(suggestion_id uuid, decision text, version int, sent_message_id uuid)
returns public.suggestions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.suggestions;
begin
  select * into s from public.suggestions x where x.id = decide_suggestion.suggestion_id for update;
  if s.id is null or s.session_id not in (select private.sessions_of_clinician()) then
    raise exception using errcode = 'PT404', message = 'no such suggestion';
  end if;
  if private.participation(s.session_id) is distinct from 'therapist' then
    raise exception using errcode = '42501', message = 'only the session''s therapist may decide about a suggestion';
  end if;
  if decide_suggestion.decision is null or decide_suggestion.decision not in ('accepted', 'edited', 'rejected') then
    raise exception using errcode = '23514', message = 'a decision is accepted, edited or rejected';
  end if;
  if s.status <> 'offered' or s.version is distinct from decide_suggestion.version then
    raise exception using
      errcode = 'PT409',
      message = format('the suggestion is %s at version %s', s.status, s.version),
      detail = jsonb_build_object('status', s.status, 'version', s.version)::text,
      hint = 'read the suggestion again: someone was first';
  end if;
  if decide_suggestion.decision = 'rejected' then
    decide_suggestion.sent_message_id := null;
  else
    perform
    from public.messages m
    join public.messages answered on answered.id = s.message_id
    where m.id = decide_suggestion.sent_message_id
      and m.session_id = s.session_id
      and m.sender_id = auth.uid()
      and m.position > answered.position;
    if not found then
      raise exception using
        errcode = 'VG022',
        message = 'an accepted or edited suggestion needs the message that the caller sent after the one it answers',
        hint = 'send the message first, then give its id';
    end if;
  end if;
  update public.suggestions x set
    status = decide_suggestion.decision,
    sent_message_id = decide_suggestion.sent_message_id,
    decided_by = auth.uid(),
    decided_at = now()
  where x.id = s.id
  returning * into s;
  return s;
end
$$;

-- Why nothing may be offered for this message now, or null. Holds the session's lock, shared: no withdrawal of consent passes it.
create or replace function private.suggestion_refusal(session uuid)
returns text
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.session_counters c where c.session_id = session for share;
  if exists (select from public.sessions s where s.id = session and s.mode = 'strict') then
    return 'strict';
  end if;
  if exists (
    select from private.active_participants(session) p
    where p.role = 'client'
      and not exists (
        select from public.session_consents c
        join public.devices d on d.id = c.device_id and d.revoked_at is null
        where c.session_id = session
          and c.user_id = p.user_id
          and c.withdrawn_at is null
          and 'analysis' = any (c.scope)
      )
  ) then
    return 'no_consent';
  end if;
  return null;
end
$$;

-- The sidecar's only way to write one. suggestion: {id, message_id, status: offered | not_made, reason, source, move, bank_version, model};
-- seals: [{device_id, sealed, signature}]. An id that is stored answers that request; another makes an unasked suggestion of that id (the
-- seals are bound to it). Gives the status that stands in the table afterwards, which is another's if somebody was first, or null if
-- nothing stands: the organisation no longer allows it, or the message is erased.
create or replace function private.record_suggestion(suggestion jsonb, seals jsonb default '[]')
returns text
language plpgsql security definer
set search_path = ''
as $$
declare
  given public.suggestions := jsonb_populate_record(null::public.suggestions, suggestion);
  answered public.messages;
  setting text;
  known public.suggestions;
begin
  if given.id is null or given.status is null or given.status not in ('offered', 'not_made') then
    raise exception using errcode = '23514', message = 'what is recorded has an id, and is offered or not_made';
  end if;
  select * into answered from public.messages m where m.id = given.message_id and m.assisted for key share;
  if answered.id is null then
    return null;
  end if;
  select o.suggestions into setting from public.organizations o where o.id = answered.organization_id for share;
  if given.status = 'offered' then
    given.reason := private.suggestion_refusal(answered.session_id);
    if given.reason is null and not exists (select from private.suggestion_seals_of(answered.session_id, seals)) then
      given.reason := 'no_device';
    end if;
    if given.reason is not null then
      given.status := 'not_made';
      given.source := null;
      given.move := null;
      given.bank_version := null;
      given.model := null;
    end if;
  end if;

  select * into known from public.suggestions s where s.id = given.id for update;
  if known.id is not null then
    if known.message_id <> answered.id or known.status <> 'requested' or setting = 'off' then
      return known.status;
    end if;
    update public.suggestions s set
      status = given.status, reason = given.reason, source = given.source, move = given.move, bank_version = given.bank_version,
      model = given.model
    where s.id = known.id
    returning * into known;
  else
    if setting <> 'elevated' then
      return null;
    end if;
    insert into public.suggestions (id, organization_id, session_id, message_id, status, reason, source, move, bank_version, model)
    values (
      given.id, answered.organization_id, answered.session_id, answered.id, given.status, given.reason, given.source, given.move,
      given.bank_version, given.model
    )
    on conflict do nothing
    returning * into known;
    if known.id is null then
      return (
        select s.status from public.suggestions s
        where s.message_id = answered.id
        order by s.status in ('requested', 'offered') desc, s.requested_by nulls first
        limit 1
      );
    end if;
  end if;

  if known.status = 'offered' then
    insert into public.suggestion_seals (suggestion_id, device_id, user_id, organization_id, session_id, message_id, sealed, signature)
    select known.id, k.device_id, k.user_id, known.organization_id, known.session_id, known.message_id, k.sealed, k.signature
    from private.suggestion_seals_of(known.session_id, seals) k;
    perform private.withdraw_displaced_suggestions(known);
  end if;
  return known.status;
end
$$;

-- Those of the seals whose device may have one now: unrevoked, of a therapist who takes part.
create or replace function private.suggestion_seals_of(session uuid, seals jsonb)
returns table (device_id uuid, user_id uuid, sealed text, signature text)
language sql stable security definer
set search_path = ''
as $$
  select d.id, d.user_id, k.sealed, k.signature
  from jsonb_to_recordset(coalesce(seals, '[]')) k (device_id uuid, sealed text, signature text)
  join public.devices d on d.id = k.device_id and d.kind = 'participant' and d.revoked_at is null
  join private.active_participants(session) p on p.user_id = d.user_id and p.role = 'therapist'
$$;

create or replace function public.request_suggestion(session_id uuid)
returns public.suggestions language sql set search_path = ''
as $$ select * from private.request_suggestion(session_id) $$;

create or replace function public.decide_suggestion(suggestion_id uuid, decision text, version int, sent_message_id uuid default null)
returns public.suggestions language sql set search_path = ''
as $$ select * from private.decide_suggestion(suggestion_id, decision, version, sent_message_id) $$;

revoke all on function private.withdraw_displaced_suggestions(public.suggestions) from public;
revoke all on function private.request_suggestion(uuid) from public;
revoke all on function private.decide_suggestion(uuid, text, int, uuid) from public;
revoke all on function private.suggestion_refusal(uuid) from public;
revoke all on function private.record_suggestion(jsonb, jsonb) from public;
revoke all on function private.suggestion_seals_of(uuid, jsonb) from public;
revoke all on function public.request_suggestion(uuid) from public, anon, authenticated, service_role;
revoke all on function public.decide_suggestion(uuid, text, int, uuid) from public, anon, authenticated, service_role;

grant execute on function private.request_suggestion(uuid) to authenticated;
grant execute on function private.decide_suggestion(uuid, text, int, uuid) to authenticated;
grant execute on function private.record_suggestion(jsonb, jsonb) to vigil;
grant execute on function public.request_suggestion(uuid) to authenticated;
grant execute on function public.decide_suggestion(uuid, text, int, uuid) to authenticated;
