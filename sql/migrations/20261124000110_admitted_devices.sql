-- What asks for an admitted device from here on: rosters, epochs, consents, messages, the start of a session, suggestions' seals.

-- One that may act for the caller: make an epoch, sign a consent. A recovery key may not.
create or replace function private.require_device(device uuid, otherwise text)
returns void
language plpgsql stable security definer
set search_path = ''
as $$
declare
  d public.devices;
begin
  select * into d from public.devices x
  where x.id = device and x.user_id = auth.uid() and x.kind = 'participant' and x.revoked_at is null;
  if d.id is null then
    raise exception using errcode = 'VG011', message = otherwise;
  end if;
  if d.admitted_at is null then
    raise exception using errcode = 'VG025', message = 'this device waits for another of yours', hint = 'approve it on a device that you use already';
  end if;
end
$$;
revoke all on function private.require_device(uuid, text) from public;

create or replace function private.session_waits_for(session uuid)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(p.user_id order by p.user_id), '[]')
  from private.active_participants(session) p
  where not exists (
    select from public.devices d
    where d.user_id = p.user_id and d.kind = 'participant' and d.admitted_at is not null and d.revoked_at is null
  )
$$;

-- The one roster that this session may have now, sorted by kid. A recovery key is on it whatever its owner's part in the session.
create or replace function private.expected_roster(session uuid)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('kid', r.id, 'role', r.role, 'enc_pub', r.enc_pub, 'sig_pub', r.sig_pub) order by r.id), '[]')
  from (
    select d.id, case when d.kind = 'recovery' then 4 when p.role = 'client' then 1 else 2 end as role, d.enc_pub, d.sig_pub
    from private.active_participants(session) p
    join public.devices d on d.user_id = p.user_id
    where d.admitted_at is not null
      and d.revoked_at is null
    union all
    select a.id, 9, a.enc_pub, a.sig_pub
    from private.analysis_device() a
    where exists (select from public.sessions s where s.id = session and s.mode = 'assisted')
  ) r
$$;

alter table public.epoch_wraps drop constraint if exists epoch_wraps_role_check;
alter table public.epoch_wraps add constraint epoch_wraps_role_check check (role in (1, 2, 3, 4, 9));
comment on column public.epoch_wraps.role is '1 client, 2 therapist, 3 on-call clinician, 4 recovery key, 9 analysis: from the roster, never from the caller.';

create or replace function private.suggestion_seals_of(session uuid, seals jsonb)
returns table (device_id uuid, user_id uuid, sealed text, signature text)
language sql stable security definer
set search_path = ''
as $$
  select d.id, d.user_id, k.sealed, k.signature
  from jsonb_to_recordset(coalesce(seals, '[]')) k (device_id uuid, sealed text, signature text)
  join public.devices d on d.id = k.device_id and d.kind = 'participant' and d.admitted_at is not null and d.revoked_at is null
  join private.active_participants(session) p on p.user_id = d.user_id and p.role = 'therapist'
$$;

create or replace function private.admit_consent()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if private.participation(new.session_id) is distinct from 'client' then
    raise exception using errcode = '42501', message = 'only a client who takes part in the session may give consent';
  end if;
  perform private.require_device(new.device_id, 'consent must be signed by an unrevoked device of the caller');
  select s.organization_id into new.organization_id from public.sessions s where s.id = new.session_id;
  new.user_id := auth.uid();
  new.scope := array(select distinct unnest(new.scope) order by 1);
  new.given_at := now();
  new.withdrawn_at := null;
  new.withdrawal_signature := null;
  return new;
end
$$;

-- Before insert: the database agrees to the epoch, or names what is wrong with it.
create or replace function private.admit_epoch()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions;
  expected jsonb;
  given jsonb;
  next_epoch int;
begin
  perform from public.session_counters where session_id = new.session_id for update;
  select * into s from public.sessions where id = new.session_id;
  if private.participation(new.session_id) is null then
    raise exception using errcode = '42501', message = 'only someone who takes part in the session may make an epoch';
  end if;
  if s.status = 'ended' then
    raise exception using errcode = 'VG002', message = 'the session has ended', detail = jsonb_build_object('status', s.status)::text;
  end if;
  perform private.require_device(new.device_id, 'an epoch must be made by an unrevoked device of the caller');
  next_epoch := private.next_epoch(new.session_id);
  if new.epoch is distinct from next_epoch then
    raise exception using
      errcode = 'PT409',
      message = format('the next epoch of this session is %s', next_epoch),
      detail = jsonb_build_object('next_epoch', next_epoch, 'min_epoch', s.min_epoch)::text,
      hint = 'another device was first, or this one is behind: read session_epochs and use the latest, or make the next';
  end if;
  if new.suite is distinct from 2 then
    raise exception using errcode = 'VG003', message = 'only suite 2 is accepted';
  end if;

  new.organization_id := s.organization_id;
  new.assisted := s.mode = 'assisted';
  new.created_at := now();
  perform private.check_epoch_consent(s, new.consent_id);

  expected := private.expected_roster(new.session_id);
  select jsonb_agg(e.member order by e.member ->> 'kid') into given
  from jsonb_array_elements(case when jsonb_typeof(new.roster) = 'array' then new.roster else '[]' end) e (member);
  if given is distinct from expected then
    raise exception using
      errcode = 'VG004',
      message = 'the roster is not exactly the devices that must hold this epoch''s key',
      detail = private.roster_difference(given, expected)::text,
      hint = 'read devices and session_participants again and make the epoch anew';
  end if;
  if new.roster_hash is distinct from private.roster_hash(expected) then
    raise exception using errcode = 'VG005', message = 'roster_hash is not the hash of the roster';
  end if;
  return new;
end
$$;

-- Before each row: may this person, with this device, under this epoch, send here now? And if so, which position?
-- Everything that takes access away holds the same lock on session_counters, so none of it can pass a message in flight.
create or replace function private.admit_message()
returns trigger
language plpgsql security definer
set search_path = ''
set enable_seqscan = off -- its plans are kept: one made while messages are few must not read all of them later
as $$
declare
  counter public.session_counters;
  found_by record;
begin
  select * into counter from public.session_counters where session_id = new.session_id for update;
  if counter.session_id is null or private.participation(new.session_id) is null then
    raise exception using errcode = '42501', message = 'only someone who takes part in the session may send';
  end if;

  -- A statement of its own: it must see what was committed while the lock was waited for.
  select
    s.organization_id, s.status, s.min_epoch, e.epoch, e.assisted,
    exists (
      select from public.devices d
      where d.id = new.sender_device_id and d.user_id = auth.uid() and d.kind = 'participant' and d.revoked_at is null
    ) as own_device,
    exists (select from public.devices d where d.id = new.sender_device_id and d.admitted_at is null) as waiting,
    exists (select from public.messages m where m.id = new.id) as same_id,
    exists (
      select from public.messages m
      where m.sender_device_id = new.sender_device_id and m.epoch = new.epoch and m.session_id = new.session_id and m.seq = new.seq
    ) as same_seq,
    e.roster @> jsonb_build_array(jsonb_build_object('kid', new.sender_device_id)) as on_roster,
    not exists (
      select from jsonb_to_recordset(e.roster) r (kid uuid)
      where not exists (
        select from public.epoch_wraps w
        where w.session_id = e.session_id and w.epoch = e.epoch and w.device_id = r.kid
      )
    ) as wrapped
  into found_by
  from public.sessions s
  left join public.session_epochs e on e.session_id = s.id and e.epoch = new.epoch
  where s.id = new.session_id;

  if found_by.status <> 'active'
    or not (found_by.own_device and not found_by.waiting and not found_by.same_id and not found_by.same_seq)
    or found_by.epoch is null or found_by.epoch < found_by.min_epoch
    or not (found_by.on_roster and found_by.wrapped)
  then
    perform private.refuse_message(new, to_jsonb(found_by));
  end if;

  new.organization_id := found_by.organization_id;
  new.sender_id := auth.uid();
  new.assisted := found_by.assisted;
  new.position := counter.last_position + 1;
  new.previous_assisted_position := case when found_by.assisted then counter.last_assisted_position end;
  new.created_at := clock_timestamp();
  update public.session_counters set
    last_position = new.position,
    last_assisted_position = case when found_by.assisted then new.position else last_assisted_position end
  where session_id = new.session_id;
  perform set_config('vigil.admitted', (coalesce(nullif(current_setting('vigil.admitted', true), ''), '0')::int + 1)::text, true);
  return new;
end
$$;
-- Says why. A doubled row must fail here, before it takes a position: `on conflict do nothing` would else leave a hole.
create or replace function private.refuse_message(m public.messages, found_by jsonb)
returns void
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if found_by ->> 'status' <> 'active' then
    raise exception using
      errcode = 'VG002',
      message = format('the session is %s', found_by ->> 'status'),
      detail = jsonb_build_object('status', found_by ->> 'status')::text;
  end if;
  if not (found_by ->> 'own_device')::boolean then
    raise exception using errcode = 'VG011', message = 'a message must come from an unrevoked device of the caller';
  end if;
  if (found_by ->> 'waiting')::boolean then
    raise exception using errcode = 'VG025', message = 'this device waits for another of yours', hint = 'approve it on a device that you use already';
  end if;
  if (found_by ->> 'same_id')::boolean then
    raise exception using errcode = '23505', message = 'this message is already stored', detail = jsonb_build_object('id', m.id)::text,
      constraint = 'messages_pkey', table = 'messages', schema = 'public';
  end if;
  if (found_by ->> 'same_seq')::boolean then
    raise exception using errcode = '23505', message = 'this device has already sent that seq under this epoch',
      detail = jsonb_build_object('seq', m.seq)::text,
      constraint = 'messages_sender_device_id_epoch_session_id_seq_key', table = 'messages', schema = 'public';
  end if;
  if found_by ->> 'epoch' is null or (found_by ->> 'epoch')::int < (found_by ->> 'min_epoch')::int then
    raise exception using
      errcode = 'VG010',
      message = format('epoch %s may not be used', m.epoch),
      detail = jsonb_build_object('min_epoch', (found_by ->> 'min_epoch')::int, 'next_epoch', private.next_epoch(m.session_id))::text,
      hint = 'seal under an epoch from min_epoch on; make it if there is none';
  end if;
  if not (found_by ->> 'on_roster')::boolean then
    raise exception using errcode = 'VG012', message = 'the sending device does not hold this epoch''s key', hint = 'make the next epoch';
  end if;
  raise exception using errcode = 'VG008', message = 'not every device of the roster has this epoch''s key', hint = 'make the next epoch';
end
$$;
