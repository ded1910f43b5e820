-- A device takes part once it is admitted: the first of a person by itself, each later one when another of that person has signed it and the
-- sidecar has verified the signature, for SQL cannot. A token that was stolen registers a device, and gets nothing by it. Recovery keys are
-- devices too: they hold the keys of epochs, and neither make them, send nor consent. Opened in 20261124000101_device_admission_policies.sql.
--
--   first                       waiting ──▶ admitted (signed | reset) ──▶ revoked        a waiting one may be revoked too

do $$
begin
  if not exists (
    select from pg_catalog.pg_attribute a where a.attrelid = 'public.devices'::regclass and a.attname = 'admitted_at' and not a.attisdropped
  ) then
    alter table public.devices
      add column admitted_at timestamptz,
      add column admitted_by uuid references public.devices (id),
      add column admission text,
      add column retired_at timestamptz;
    -- Once only: those that are there held keys under the rules of their time, and go on. Run again, this would admit whoever waits.
    update public.devices d set
      admitted_at = d.created_at,
      admission = case d.kind when 'analysis' then 'sidecar' else 'first' end;
  end if;
end
$$;

alter table public.devices
  drop constraint if exists devices_kind_check,
  drop constraint if exists devices_check,
  drop constraint if exists devices_admission_check,
  drop constraint if exists devices_admitted_check,
  drop constraint if exists devices_retired_check;
alter table public.devices
  add constraint devices_kind_check check (kind in ('participant', 'recovery', 'analysis')),
  add constraint devices_check check ((kind = 'analysis') = (user_id is null)),
  add constraint devices_admission_check check (admission in ('first', 'signed', 'reset', 'sidecar')),
  add constraint devices_admitted_check check (
    (admitted_at is null) = (admission is null)
    and (admitted_by is not null) = (coalesce(admission, '') = 'signed')
    and (kind = 'analysis') = (coalesce(admission, '') = 'sidecar')
    and (kind <> 'recovery' or coalesce(admission, 'signed') = 'signed')
  ),
  add constraint devices_retired_check check (retired_at is null or kind = 'analysis');
comment on table public.devices is 'The public keys of a browser or app (kind participant), of a person''s recovery key (recovery) or of the sidecar (analysis). A participant''s is written by that person, a recovery key by set_recovery, the sidecar''s by private.register_analysis_device. Keys never change; a device is revoked, not deleted.';
comment on column public.devices.admitted_at is 'From then on it takes part; null: it waits for another device of that person. Set by trigger, private.admit_device and reset_devices.';
comment on column public.devices.admitted_by is 'The device of the same person whose signature the sidecar verified; its row is in device_signatures.';
comment on column public.devices.admission is 'How: the first device of that person, signed by another, after a reset of all others, or the sidecar''s own.';
comment on column public.devices.retired_at is 'An analysis key that new epochs leave out; it opens those that it holds until nothing needs them.';

create table if not exists public.device_signatures (
  id uuid primary key default gen_random_uuid(),
  device_id uuid not null references public.devices (id) on delete cascade,
  user_id uuid default auth.uid(),
  by_device_id uuid not null references public.devices (id) on delete cascade,
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  created_at timestamptz not null default now(),
  refused_at timestamptz,
  refusal text check (refusal in ('format', 'signature', 'signer')),
  check ((refused_at is null) = (refusal is null))
);
comment on table public.device_signatures is 'That one device of a person vouches for another: ECDSA over both ids and the other''s keys. Written by that person; refused by the sidecar where it does not hold. Several for one device: a bogus one must not keep the true one out. One analysis key for the next one, too: of nobody (user_id null), written by private.register_analysis_device.';
create index if not exists device_signatures_device_id_idx on public.device_signatures (device_id, created_at);
create index if not exists device_signatures_by_device_id_idx on public.device_signatures (by_device_id);
create index if not exists device_signatures_user_id_idx on public.device_signatures (user_id);

-- One person's devices change one after the other. The first lock that a transaction takes, before any session's.
create or replace function private.lock_devices_of(person uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(person::text, 0));
end
$$;
revoke all on function private.lock_devices_of(uuid) from public;

-- How a device begins, whatever its writer says. At most 20 of a person wait: people are asked to look at each. One more takes the place of the
-- oldest that nothing vouches for: whoever stole a token could keep the person's own next device out otherwise.
create or replace function private.admit_first_device()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant int := 20;
begin
  new.admitted_at := null;
  new.admitted_by := null;
  new.admission := null;
  new.retired_at := null;
  if new.kind = 'analysis' then
    new.admitted_at := new.created_at;
    new.admission := 'sidecar';
  else
    perform private.lock_devices_of(new.user_id);
    if new.kind = 'participant' and not exists (select from public.devices d where d.user_id = new.user_id) then
      new.admitted_at := now();
      new.admission := 'first';
    elsif (
      select count(*) from public.devices d where d.user_id = new.user_id and d.admitted_at is null and d.revoked_at is null
    ) >= most then
      update public.devices d set revoked_at = now()
      where d.id = (
        select w.id
        from public.devices w
        where w.user_id = new.user_id
          and w.admitted_at is null
          and w.revoked_at is null
          and not exists (
            select from public.device_signatures s
            join public.devices b on b.id = s.by_device_id and b.revoked_at is null
            where s.device_id = w.id and s.refused_at is null
          )
        order by w.created_at, w.id
        limit 1
      );
      if not found then
        raise exception using errcode = '23514', message = format('at most %s devices of a person wait to be admitted', most),
          hint = 'approve or revoke those that wait already';
      end if;
    end if;
  end if;
  return new;
end
$$;
revoke all on function private.admit_first_device() from public;

create or replace trigger a_first_device_is_admitted
  before insert on public.devices
  for each row execute function private.admit_first_device();

-- Nor does a token that lay about end the history: the recovery key, and the last device that takes part, are revoked by somebody who signed in
-- just now. Rows that the same statement revoked before are seen as revoked.
create or replace function private.guard_device()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
begin
  if (new.id, new.kind, new.enc_pub, new.sig_pub) <> (old.id, old.kind, old.enc_pub, old.sig_pub)
    or new.user_id is distinct from old.user_id
  then
    raise exception using errcode = 'VG015', message = 'a device keeps its keys and its owner', hint = 'revoke it and register a new one';
  end if;
  if old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at then
    raise exception using errcode = 'VG015', message = 'a revoked device stays revoked';
  end if;
  if old.retired_at is not null and new.retired_at is distinct from old.retired_at then
    raise exception using errcode = 'VG015', message = 'a retired key stays retired', hint = 'register a new one';
  end if;
  if (new.admitted_at, new.admitted_by, new.admission) is distinct from (old.admitted_at, old.admitted_by, old.admission) then
    if old.admitted_at is not null or new.revoked_at is not null then
      raise exception using errcode = 'VG015', message = 'a device is admitted once, before it is revoked';
    end if;
    new.admitted_at := now();
  end if;
  if old.revoked_at is null and new.revoked_at is not null then
    new.revoked_at := now();
    if old.user_id = me and old.admitted_at is not null and (
      old.kind = 'recovery'
      or not exists (
        select from public.devices d
        where d.user_id = me and d.id <> old.id and d.kind = 'participant' and d.admitted_at is not null and d.revoked_at is null
      )
    ) then
      perform private.require_fresh_login(me);
    end if;
  end if;
  if old.retired_at is null and new.retired_at is not null then
    new.retired_at := now();
  end if;
  return new;
end
$$;
revoke all on function private.guard_device() from public;

-- Before any row is held: two statements at once must not each leave the other's device for the last one.
create or replace function private.hold_own_devices()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if private.caller() is not null then
    perform private.lock_devices_of(private.caller());
  end if;
  return null;
end
$$;
revoke all on function private.hold_own_devices() from public;

create or replace trigger a_persons_devices_change_in_turn
  before update on public.devices
  for each statement execute function private.hold_own_devices();

-- A signature is of a device that takes part, for one that waits, both of the caller; or of one analysis key for a later one, which no policy
-- lets anybody write but the sidecar, by its function: clients take a new key of the same operator for what it is. No more than 20 wait to be verified for one device; those
-- that were refused do not count, nor those of a device that is revoked since, which nobody will verify: or whoever stole a token could use up
-- the true device's.
create or replace function private.admit_device_signature()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant int := 20;
begin
  new.created_at := now();
  new.refused_at := null;
  new.refusal := null;
  if exists (select from public.devices d where d.id = new.device_id and d.kind = 'analysis') then
    new.user_id := null;
    perform from public.devices d
    join public.devices b on b.id = new.by_device_id and b.kind = 'analysis' and b.revoked_at is null and b.created_at < d.created_at
    where d.id = new.device_id and d.revoked_at is null;
    if not found then
      raise exception using errcode = 'VG011', message = 'an analysis key is vouched for by an earlier one, both unrevoked';
    end if;
    return new;
  end if;
  new.user_id := private.caller();
  if new.user_id is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may vouch for a device of theirs';
  end if;
  perform private.lock_devices_of(new.user_id);
  perform from public.devices d
  where d.id = new.device_id and d.user_id = new.user_id and d.admitted_at is null and d.revoked_at is null;
  if not found then
    raise exception using errcode = 'VG011', message = 'only an unrevoked device of the caller that still waits can be vouched for';
  end if;
  perform from public.devices d
  where d.id = new.by_device_id and d.user_id = new.user_id and d.admitted_at is not null and d.revoked_at is null;
  if not found then
    raise exception using errcode = 'VG011', message = 'only an admitted, unrevoked device of the caller can vouch for another';
  end if;
  if (
    select count(*) from public.device_signatures s
    join public.devices b on b.id = s.by_device_id and b.revoked_at is null
    where s.device_id = new.device_id and s.refused_at is null
  ) >= most then
    raise exception using errcode = '23514', message = format('at most %s signatures of one device wait to be verified', most),
      hint = 'wait until the sidecar has looked at them';
  end if;
  return new;
end
$$;
revoke all on function private.admit_device_signature() from public;

create or replace trigger a_device_is_vouched_for_by_another
  before insert on public.device_signatures
  for each row execute function private.admit_device_signature();

create or replace function private.guard_device_signature()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  changing constant text[] := array['refused_at', 'refusal'];
begin
  if old.refused_at is not null or to_jsonb(new) - changing <> to_jsonb(old) - changing then
    raise exception using errcode = 'VG015', message = 'a signature stands as it was given, and is refused once', hint = 'give another';
  end if;
  return new;
end
$$;
revoke all on function private.guard_device_signature() from public;

create or replace trigger a_device_signature_stands
  before update on public.device_signatures
  for each row execute function private.guard_device_signature();

-- Each of a person's sessions needs an epoch that the new device holds, or the next message would be lost to it.
create or replace function private.after_device_admission()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.retire_epochs(array(
    select p.session_id from public.session_participants p where p.user_id = new.user_id and p.ended_at is null
  ));
  return null;
end
$$;
revoke all on function private.after_device_admission() from public;

create or replace trigger a_first_device_retires_epochs
  after insert on public.devices
  for each row
  when (new.admitted_at is not null and new.user_id is not null)
  execute function private.after_device_admission();
create or replace trigger admitting_a_device_retires_epochs
  after update on public.devices
  for each row
  when (old.admitted_at is null and new.admitted_at is not null and new.user_id is not null)
  execute function private.after_device_admission();

-- One entry for each organisation that the person belongs to. For the statement, not for each row: all sessions' locks come before the
-- first chain's head.
create or replace function private.audit_device()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  entry record;
begin
  for entry in
    select m.organization_id, coalesce(c.row ->> 'id', c.row ->> 'device_id') as id, jsonb_strip_nulls(jsonb_build_object(
      'user_id', c.row -> 'user_id', 'device_id', c.row -> 'device_id', 'by_device_id', c.row -> 'by_device_id', 'kind', c.row -> 'kind',
      'admission', c.row -> 'admission', 'admitted_by', c.row -> 'admitted_by', 'revoked_at', c.row -> 'revoked_at', 'refusal', c.row -> 'refusal',
      'version', c.row -> 'version'
    )) as details
    from (select to_jsonb(x) as row from changed x) c
    join public.memberships m on m.user_id = (c.row ->> 'user_id')::uuid and m.ended_at is null
    order by 1, 2
  loop
    perform private.append_audit(entry.organization_id, lower(tg_op), tg_table_name::text, entry.id, entry.details);
  end loop;
  return null;
end
$$;
revoke all on function private.audit_device() from public;

-- A name given to a device is no entry: `was` tells what changed.
create or replace function private.audit_changed_device()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  entry record;
begin
  for entry in
    select m.organization_id, d.id, jsonb_strip_nulls(jsonb_build_object(
      'user_id', d.user_id, 'kind', d.kind, 'admission', d.admission, 'admitted_by', d.admitted_by, 'revoked_at', d.revoked_at
    )) as details
    from changed d
    join was o on o.id = d.id
    join public.memberships m on m.user_id = d.user_id and m.ended_at is null
    where (d.admitted_at, d.revoked_at) is distinct from (o.admitted_at, o.revoked_at)
    order by 1, 2
  loop
    perform private.append_audit(entry.organization_id, 'update', 'devices', entry.id::text, entry.details);
  end loop;
  return null;
end
$$;
revoke all on function private.audit_changed_device() from public;

create or replace trigger written_in_the_audit_log after insert on public.devices
  referencing new table as changed
  for each statement execute function private.audit_device();
create or replace trigger written_in_the_audit_log_when_changed after update on public.devices
  referencing new table as changed old table as was
  for each statement execute function private.audit_changed_device();
create or replace trigger written_in_the_audit_log after insert on public.device_signatures
  referencing new table as changed
  for each statement execute function private.audit_device();
create or replace trigger written_in_the_audit_log_when_changed after update on public.device_signatures
  referencing new table as changed
  for each statement execute function private.audit_device();

-- What the sidecar has to verify, the oldest first.
create or replace function private.devices_to_admit(most int)
returns table (
  signature_id uuid, device_id uuid, user_id uuid, kind text, enc_pub text, sig_pub text, by_device_id uuid, by_sig_pub text, signature text
)
language sql stable security definer
set search_path = ''
as $$
  select s.id, d.id, d.user_id, d.kind, d.enc_pub, d.sig_pub, b.id, b.sig_pub, s.signature
  from public.device_signatures s
  join public.devices d on d.id = s.device_id and d.admitted_at is null and d.revoked_at is null
  join public.devices b on b.id = s.by_device_id and b.user_id = d.user_id and b.admitted_at is not null and b.revoked_at is null
  where s.refused_at is null
  order by s.created_at, s.id
  limit greatest(most, 0)
$$;

-- The sidecar has verified that by_device vouches for device. False: there is nothing to do (any more). A new recovery key takes the former
-- one's place in the same transaction: there is always one that opens.
create or replace function private.admit_device(device uuid, by_device uuid)
returns boolean
language plpgsql security definer
set search_path = ''
as $$
declare
  person uuid;
begin
  select d.user_id into person from public.devices d where d.id = admit_device.device;
  if person is null then
    return false;
  end if;
  perform private.lock_devices_of(person);
  if not exists (
    select from public.device_signatures s
    join public.devices b on b.id = s.by_device_id and b.user_id = person and b.admitted_at is not null and b.revoked_at is null
    where s.device_id = admit_device.device and s.by_device_id = admit_device.by_device and s.refused_at is null
  ) or not exists (
    select from public.devices d where d.id = admit_device.device and d.admitted_at is null and d.revoked_at is null
  ) then
    return false;
  end if;
  -- One statement: its triggers lock every session before any chain of the audit log.
  update public.devices d set
    admitted_at = case when d.id = admit_device.device then now() else d.admitted_at end,
    admitted_by = case when d.id = admit_device.device then admit_device.by_device else d.admitted_by end,
    admission = case when d.id = admit_device.device then 'signed' else d.admission end,
    revoked_at = case when d.id <> admit_device.device then now() end
  where d.id = admit_device.device
    or d.user_id = person
      and d.kind = 'recovery'
      and d.admitted_at is not null
      and d.revoked_at is null
      and exists (select from public.devices n where n.id = admit_device.device and n.kind = 'recovery');
  return true;
end
$$;

create or replace function private.refuse_device(signature_id uuid, reason text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  update public.device_signatures s set refused_at = now(), refusal = refuse_device.reason
  where s.id = refuse_device.signature_id and s.refused_at is null;
end
$$;

-- What cannot be taken back asks for a sign-in of the last minutes: a token that lay about is not enough.
create or replace function private.login_is_fresh(person uuid)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
declare
  fresh constant interval := interval '10 minutes';
begin
  return exists (
    select from auth.sessions l where l.id = (auth.jwt() ->> 'session_id')::uuid and l.user_id = person and l.created_at > now() - fresh
  ) and (
    auth.jwt() ->> 'aal' = 'aal2'
    or not exists (
      select from public.memberships m
      join public.organizations o on o.id = m.organization_id and o.require_aal2
      where m.user_id = person and m.ended_at is null and m.role <> 'client'
    )
  );
end
$$;
revoke all on function private.login_is_fresh(uuid) from public;

create or replace function private.require_fresh_login(person uuid)
returns void
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if private.login_is_fresh(person) then
    return;
  end if;
  raise exception using errcode = 'VG024', message = 'this needs a sign-in of the last ten minutes',
    hint = 'sign in again, with the second factor where the organisation asks for it';
end
$$;
revoke all on function private.require_fresh_login(uuid) from public;

-- Starting anew, when nothing is left that could vouch: all other devices and the recovery key are revoked, and with them what only they could
-- open is lost. Everybody else is shown the change.
create or replace function private.reset_devices(device_id uuid)
returns public.devices
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
  d public.devices;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may start anew';
  end if;
  perform private.lock_devices_of(me);
  select * into d from public.devices x where x.id = reset_devices.device_id and x.user_id = me;
  if d.id is null or d.kind <> 'participant' or d.admitted_at is not null or d.revoked_at is not null then
    raise exception using errcode = 'VG011', message = 'only an unrevoked device of the caller that still waits can start anew';
  end if;
  perform private.require_fresh_login(me);
  update public.devices x set
    admitted_at = case when x.id = d.id then now() else x.admitted_at end,
    admission = case when x.id = d.id then 'reset' else x.admission end,
    revoked_at = case when x.id <> d.id then now() end
  where x.user_id = me and x.revoked_at is null;
  select * into d from public.devices x where x.id = d.id;
  return d;
end
$$;

create or replace function public.reset_devices(device_id uuid)
returns public.devices language sql set search_path = ''
as $$ select * from private.reset_devices(device_id) $$;

alter table public.device_signatures enable row level security;

revoke all on public.device_signatures from public, anon, authenticated, service_role, vigil;

grant select on public.device_signatures to authenticated, service_role, vigil;
grant insert (id, device_id, user_id, by_device_id, signature) on public.device_signatures to authenticated;
grant select (admitted_at, admitted_by, admission, retired_at) on public.devices to vigil;

revoke all on function private.devices_to_admit(int) from public;
revoke all on function private.admit_device(uuid, uuid) from public;
revoke all on function private.refuse_device(uuid, text) from public;
revoke all on function private.reset_devices(uuid) from public;
revoke all on function public.reset_devices(uuid) from public, anon, authenticated, service_role;

grant execute on function private.devices_to_admit(int) to vigil;
grant execute on function private.admit_device(uuid, uuid) to vigil;
grant execute on function private.refuse_device(uuid, text) to vigil;
grant execute on function private.reset_devices(uuid) to authenticated;
grant execute on function public.reset_devices(uuid) to authenticated;
