-- Someone must be able to read the message that paged them. Under consent scope crisis_access the sidecar gives the epoch's key to the devices
-- of those whom a paged alert reached, from the alert's message on and while the alert is unresolved: in epoch_readers, so everyone sees it.
-- It ends when the alert is resolved or erased, the consent withdrawn, the device revoked or the membership over: the wraps are deleted, and
-- the session's epochs retired.

-- Every client who takes part has agreed to the scope, on a device that still counts. Nobody agrees for a session without a client.
create or replace function private.covers(session uuid, scope text)
returns boolean
language plpgsql stable security definer cost 10000 -- asked last, of what is left
set search_path = ''
as $$
begin
  return coalesce((
    select bool_and(exists (
      select from public.session_consents c
      join public.devices d on d.id = c.device_id and d.revoked_at is null
      where c.session_id = session
        and c.user_id = p.user_id
        and c.withdrawn_at is null
        and covers.scope = any (c.scope)
    ))
    from private.active_participants(session) p
    where p.role = 'client'
  ), false);
end
$$;
revoke all on function private.covers(uuid, text) from public;

-- Which devices may hold which epochs for which alert of a session now. An alert without a page reached nobody outside
-- the app. Who holds the epoch as one who takes part needs no other key; taking part is not enough: some joined after it, or lost their devices.
create or replace function private.crisis_readers(session uuid)
returns table (
  alert_id uuid, session_id uuid, organization_id uuid, epoch int, device_id uuid, user_id uuid, enc_pub text, sig_pub text, raised_at timestamptz
)
language sql stable security definer
set search_path = ''
as $$
  with unresolved as materialized (
    select a.id, a.session_id, a.organization_id, a.raised_at, m.epoch as first_epoch
    from public.alerts a
    join public.messages m on m.id = a.message_id
    where a.status <> 'resolved'
      and a.session_id = session
      and exists (select from public.alert_pages p where p.alert_id = a.id)
      and exists (
        select from public.session_consents c
        where c.session_id = a.session_id and c.withdrawn_at is null and 'crisis_access' = any (c.scope)
      )
      and private.covers(a.session_id, 'crisis_access')
  )
  select a.id, a.session_id, a.organization_id, e.epoch, d.id, d.user_id, d.enc_pub, d.sig_pub, a.raised_at
  from unresolved a
  join public.alert_recipients r on r.alert_id = a.id and r.ended_at is null
  join public.memberships m
    on m.organization_id = a.organization_id and m.user_id = r.user_id and m.ended_at is null and m.role in ('therapist', 'supervisor')
  join public.devices d on d.user_id = r.user_id and d.kind = 'participant' and d.admitted_at is not null and d.revoked_at is null
  join public.session_epochs e on e.session_id = a.session_id and e.epoch >= a.first_epoch
  where not exists (
    select from public.epoch_wraps w
    join public.devices o on o.id = w.device_id and o.user_id = r.user_id and o.kind = 'participant' and o.revoked_at is null
    where w.session_id = e.session_id and w.epoch = e.epoch and w.role in (1, 2)
  )
$$;
revoke all on function private.crisis_readers(uuid) from public;

create index if not exists session_consents_crisis_access_idx on public.session_consents (session_id)
  where withdrawn_at is null and 'crisis_access' = any (scope);

-- Sessions in which somebody whom an unresolved alert reached has no key of an epoch that the sidecar has. Whether that may be given is asked of
-- these alone: an alert that nobody resolves, but whose keys are given, costs a look at its keys.
create or replace function private.crisis_sessions()
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  select distinct a.session_id
  from public.alerts a
  join public.messages m on m.id = a.message_id
  join public.alert_recipients r on r.alert_id = a.id and r.ended_at is null
  join public.devices d on d.user_id = r.user_id and d.kind = 'participant' and d.admitted_at is not null and d.revoked_at is null
  join public.session_epochs e on e.session_id = a.session_id and e.epoch >= m.epoch
  where a.status <> 'resolved'
    and exists (
      select from public.session_consents c where c.session_id = a.session_id and c.withdrawn_at is null and 'crisis_access' = any (c.scope)
    )
    and exists (select from public.alert_pages p where p.alert_id = a.id)
    and not exists (
      select from public.epoch_wraps w where w.session_id = e.session_id and w.epoch = e.epoch and w.device_id = d.id
    )
    and exists (select from public.epoch_wraps w where w.session_id = e.session_id and w.epoch = e.epoch and w.role = 9)
$$;
revoke all on function private.crisis_sessions() from public;

-- What the sidecar has to give, the newest alert first: what it cannot open stays due, and must not stand before what it can.
create or replace function private.crisis_grants_due(most int)
returns table (
  alert_id uuid, session_id uuid, organization_id uuid, epoch int, device_id uuid, user_id uuid, enc_pub text, sig_pub text
)
language sql stable security definer
set search_path = ''
as $$
  select g.alert_id, g.session_id, g.organization_id, g.epoch, g.device_id, g.user_id, g.enc_pub, g.sig_pub
  from (
    select distinct on (c.session_id, c.epoch, c.device_id) c.*
    from private.crisis_sessions() s (id)
    cross join lateral private.crisis_readers(s.id) c
    where not exists (
      select from public.epoch_wraps w where w.session_id = c.session_id and w.epoch = c.epoch and w.device_id = c.device_id
    )
      and exists (
        select from public.epoch_wraps w
        join public.devices k on k.id = w.device_id and k.revoked_at is null
        where w.session_id = c.session_id and w.epoch = c.epoch and w.role = 9
      )
    order by c.session_id, c.epoch, c.device_id, c.raised_at desc, c.alert_id
  ) g
  order by g.raised_at desc, g.session_id, g.epoch, g.device_id
  limit greatest(most, 0)
$$;

-- grants: [{session_id, epoch, device_id, wrap, signature, by_device_id}], made by the analysis device that the epoch names. What is not (any
-- more) due for this alert is passed over; gives how many stand. Memberships and devices are held before the session, as whatever ends them
-- holds them: it sees what is given here, or is seen.
create or replace function private.grant_crisis_access(alert uuid, grants jsonb)
returns int
language plpgsql security definer
set search_path = ''
as $$
declare
  session uuid;
  organization uuid;
  stored int;
begin
  select a.session_id, a.organization_id into session, organization from public.alerts a where a.id = grant_crisis_access.alert;
  perform from public.memberships m
  where m.organization_id = organization
    and m.user_id in (
      select d.user_id from public.devices d where d.id in (select g.device_id from jsonb_to_recordset(grants) g (device_id uuid))
    )
  order by m.user_id
  for share;
  perform from public.devices d
  where d.id in (select g.device_id from jsonb_to_recordset(grants) g (device_id uuid))
  order by d.id
  for share;
  perform private.lock_sessions(array[session]);
  with wanted as (
    select distinct on (c.epoch, c.device_id)
      c.session_id, c.epoch, c.device_id, c.user_id, c.organization_id, c.alert_id, g.wrap, g.signature, g.by_device_id
    from jsonb_to_recordset(grants) g (session_id uuid, epoch int, device_id uuid, wrap text, signature text, by_device_id uuid)
    join private.crisis_readers(session) c
      on c.alert_id = grant_crisis_access.alert and c.session_id = g.session_id and c.epoch = g.epoch and c.device_id = g.device_id
    join public.epoch_wraps a on a.session_id = c.session_id and a.epoch = c.epoch and a.device_id = g.by_device_id and a.role = 9
    join public.devices k on k.id = a.device_id and k.revoked_at is null
    where not exists (
      select from public.epoch_wraps w where w.session_id = c.session_id and w.epoch = c.epoch and w.device_id = c.device_id
    )
    order by c.epoch, c.device_id
  ), wrapped as (
    insert into public.epoch_wraps (session_id, epoch, device_id, organization_id, role, wrap)
    select x.session_id, x.epoch, x.device_id, x.organization_id, 3, x.wrap from wanted x
    returning session_id, epoch, device_id, wrap
  )
  insert into public.epoch_readers as r
    (session_id, epoch, device_id, user_id, organization_id, role, reason, alert_id, by_device_id, signature, wrap_hash)
  select x.session_id, x.epoch, x.device_id, x.user_id, x.organization_id, 3, 'crisis_access', x.alert_id, x.by_device_id, x.signature,
    private.to_base64url(sha256(private.from_base64url(w.wrap)))
  from wanted x
  join wrapped w on w.session_id = x.session_id and w.epoch = x.epoch and w.device_id = x.device_id
  on conflict (session_id, epoch, device_id) do update set
    alert_id = excluded.alert_id, by_device_id = excluded.by_device_id, signature = excluded.signature, wrap_hash = excluded.wrap_hash,
    created_at = now(), ended_at = null
    where r.ended_at is not null;
  get diagnostics stored = row_count;
  return stored;
end
$$;

-- Ends what nothing justifies any more. Its callers have locked the session already, or lock nothing after it but an audit log's head.
create or replace function private.review_crisis_access(session uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  ended public.epoch_readers[];
begin
  perform private.lock_sessions(array[session]);
  ended := array(
    select r
    from public.epoch_readers r
    where r.session_id = session
      and r.reason = 'crisis_access'
      and r.ended_at is null
      and not exists (
        select from private.crisis_readers(session) c where c.epoch = r.epoch and c.device_id = r.device_id
      )
  );
  if cardinality(ended) = 0 then
    return;
  end if;
  perform private.retire_epochs(array[session]);
  update public.epoch_readers r set ended_at = now()
  from unnest(ended) e
  where r.session_id = e.session_id and r.epoch = e.epoch and r.device_id = e.device_id;
  delete from public.epoch_wraps w
  using unnest(ended) e
  where w.session_id = e.session_id and w.epoch = e.epoch and w.device_id = e.device_id and w.role = 3;
end
$$;
revoke all on function private.review_crisis_access(uuid) from public;

-- Of whatever names its session: a resolved or erased alert, a withdrawn consent, a participant.
create or replace function private.end_crisis_access()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.review_crisis_access(case when tg_op = 'DELETE' then old.session_id else new.session_id end);
  return null;
end
$$;
revoke all on function private.end_crisis_access() from public;

create or replace trigger resolving_an_alert_ends_crisis_access
  after insert on public.alert_events
  for each row
  when (new.kind = 'resolved')
  execute function private.end_crisis_access();
create or replace trigger an_erased_alert_ends_crisis_access
  after delete on public.alerts
  for each row execute function private.end_crisis_access();
-- By its name after what withdraws suggestions, before what writes the consent in the audit log.
create or replace trigger withdrawn_consent_ends_crisis_access
  after update on public.session_consents
  for each row
  when (old.withdrawn_at is null and new.withdrawn_at is not null and 'crisis_access' = any (old.scope))
  execute function private.end_crisis_access();

-- Who takes part decides whose consent is asked for.
create or replace trigger taking_part_decides_crisis_access
  after insert or update or delete on public.session_participants
  for each row execute function private.end_crisis_access();

-- An erased message may take its alert with it: the session is locked before the audit log is.
create or replace function private.hold_session()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.session_counters c where c.session_id = old.session_id for update;
  return old;
end
$$;
revoke all on function private.hold_session() from public;

create or replace trigger an_erased_message_holds_its_session
  before delete on public.messages
  for each row execute function private.hold_session();

-- After every row's sessions are locked: a clinician's device that held a key, a client's that signed a consent.
create or replace function private.end_crisis_access_by_devices()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  session uuid;
begin
  for session in
    with revoked as materialized (
      select d.id from changed d join was o on o.id = d.id where o.revoked_at is null and d.revoked_at is not null
    )
    select distinct r.session_id
    from public.epoch_readers r
    where r.reason = 'crisis_access'
      and r.ended_at is null
      and (
        r.device_id in (select v.id from revoked v)
        or r.session_id in (select c.session_id from public.session_consents c where c.device_id in (select v.id from revoked v))
      )
    order by 1
  loop
    perform private.review_crisis_access(session);
  end loop;
  return null;
end
$$;
revoke all on function private.end_crisis_access_by_devices() from public;

create or replace trigger revoked_devices_lose_crisis_access
  after update on public.devices
  referencing new table as changed old table as was
  for each statement execute function private.end_crisis_access_by_devices();

-- As in 20260101001100_revocations.sql, with the sessions in which the person was given a key.
create or replace function private.after_membership_change()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  was public.memberships := old;
  taken_part uuid[];
  touched uuid[];
  session uuid;
begin
  if tg_op = 'UPDATE' and not (old.ended_at is null and (new.ended_at is not null or new.role <> old.role)) then
    return null;
  end if;
  -- All locks before the first entry of the audit log, which locks its chain's head; all sessions before all alerts, in one order.
  taken_part := array(
    select p.session_id
    from public.session_participants p
    where p.organization_id = was.organization_id and p.user_id = was.user_id and p.ended_at is null
  );
  touched := array(
    select t.id from unnest(taken_part) t (id)
    union
    select r.session_id
    from public.epoch_readers r
    where r.organization_id = was.organization_id and r.user_id = was.user_id and r.reason = 'crisis_access' and r.ended_at is null
    order by 1
  );
  perform private.lock_sessions(touched);
  perform private.retire_epochs(taken_part);
  perform from public.alerts a
  where a.organization_id = was.organization_id and a.status = 'acknowledged'
  order by a.id
  for update;
  perform from public.oncall_shifts o
  where o.organization_id = was.organization_id and o.user_id = was.user_id and o.ends_at > now()
  order by o.starts_at
  for update;
  insert into public.alert_events (alert_id, organization_id, session_id, kind, actor_id, version)
  select a.id, a.organization_id, a.session_id, 'reopened', auth.uid(), a.version + 1
  from public.alerts a
  join public.alert_events v on v.alert_id = a.id and v.version = a.version
  where a.organization_id = was.organization_id
    and a.status = 'acknowledged'
    and v.kind = 'acknowledged'
    and v.actor_id = was.user_id
  order by a.id;
  update public.oncall_shifts o set flagged_at = now()
  where o.organization_id = was.organization_id
    and o.user_id = was.user_id
    and o.ends_at > now()
    and o.flagged_at is null;
  foreach session in array touched loop
    perform private.review_crisis_access(session);
  end loop;
  return null;
end
$$;

-- Resolving locks the session before the alert, as everything does.
create or replace function private.step_alert(alert uuid, seen_version int, kind text)
returns public.alerts
language plpgsql security definer
set search_path = ''
as $$
declare
  a public.alerts;
begin
  select * into a from public.alerts x where x.id = alert;
  if a.id is not null and step_alert.kind = 'resolved' then
    perform private.lock_sessions(array[a.session_id]);
  end if;
  select * into a from public.alerts x where x.id = alert for update;
  if a.id is null or a.session_id not in (select private.sessions_of_clinician()) then
    raise exception using errcode = 'PT404', message = 'no such alert';
  end if;
  insert into public.alert_events (alert_id, organization_id, session_id, kind, actor_id, version)
  values (a.id, a.organization_id, a.session_id, step_alert.kind, auth.uid(), seen_version + 1);
  select * into a from public.alerts x where x.id = alert;
  return a;
end
$$;

alter table public.alerts add column if not exists text_shared boolean not null default false;
comment on column public.alerts.text_shared is 'When the alert was raised, whom it pages could be given the message''s key: consent covered crisis_access, and the sidecar held it. What holds now is in epoch_readers.';

create or replace function private.begin_alert()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  new.status := 'open';
  new.version := 1;
  new.text_shared := private.covers(new.session_id, 'crisis_access')
    and exists (select from public.messages m where m.id = new.message_id and m.assisted);
  return new;
end
$$;

revoke all on function private.crisis_grants_due(int) from public;
revoke all on function private.grant_crisis_access(uuid, jsonb) from public;
grant execute on function private.crisis_grants_due(int) to vigil;
grant execute on function private.grant_crisis_access(uuid, jsonb) to vigil;
