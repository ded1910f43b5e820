-- What asks for an admitted device from here on: rosters, epochs, consents, the start of a session,
-- suggestions' seals; and messages, in 20261124000300_rotation.sql.

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
