-- The sidecar's keys come and go while it runs: a new one is registered, the old one is retired (new epochs leave it out, it opens those
-- that it holds), and destroyed once nothing needs it.
--
--   registered ──▶ retired ──▶ destroyed (revoked)        an operator may also revoke one at once: then what only it opens is lost

-- The sidecar's key that new epochs must include: the newest that is neither revoked nor retired.
create or replace function private.analysis_device()
returns setof public.devices
language sql stable security definer
set search_path = ''
as $$
  select d.*
  from public.devices d
  where d.kind = 'analysis'
    and d.revoked_at is null
    and d.retired_at is null
  order by d.created_at desc, d.id
  limit 1
$$;

-- Sessions in which a message may still be sent under an epoch that a retired key opens, by their ids: all, or some. A key that was revoked
-- after its retirement counts for an hour: an epoch that was being made at that moment was not to be seen.
create or replace function private.on_retired_keys(among uuid[] default null, after uuid default null, most int default null)
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  with retired as materialized (
    select d.id from public.devices d
    where d.kind = 'analysis' and d.retired_at is not null and (d.revoked_at is null or d.revoked_at > now() - interval '1 hour')
  )
  select s.id
  from public.sessions s
  where s.status <> 'ended'
    and (among is null or s.id = any (among))
    and (after is null or s.id > after)
    and exists (select from retired)
    and exists (
      select from public.epoch_wraps w where w.session_id = s.id and w.epoch >= s.min_epoch and w.device_id in (select r.id from retired r)
    )
  order by s.id
  limit most
$$;
revoke all on function private.on_retired_keys(uuid[], uuid, int) from public;

-- Retires the epochs that a retired key opens, of a page of sessions after this one: a retired key still opens all that it holds, so there is
-- time, and no conversation is to wait for those of others. What is locked now is passed over, and found by the next pass. last: where the next
-- page begins, null after the last one; busy: how many were passed over.
create or replace function private.retire_epochs_of_retired_keys(after uuid, most int, out last uuid, out busy int)
language plpgsql security definer
set search_path = ''
as $$
declare
  found_now uuid[];
  free uuid[];
begin
  found_now := array(select private.on_retired_keys(null, retire_epochs_of_retired_keys.after, retire_epochs_of_retired_keys.most));
  free := array(select c.session_id from public.session_counters c where c.session_id = any (found_now) for update skip locked);
  perform private.retire_epochs(array(select private.on_retired_keys(free))); -- a statement of its own: it sees what was made until the locks
  last := case when cardinality(found_now) = retire_epochs_of_retired_keys.most then found_now[retire_epochs_of_retired_keys.most] end;
  busy := cardinality(found_now) - cardinality(free);
end
$$;

-- It was one transaction over all sessions.
drop trigger if exists retiring_a_key_retires_epochs on public.devices;
drop function if exists private.after_key_retirement();

-- As in 20260101001100_revocations.sql; but to revoke a retired key, as its destruction does, only the sessions that hold it are locked: new
-- epochs have left it out since.
create or replace function private.after_device_revocation()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  session uuid;
begin
  for session in
    select s.id
    from public.sessions s
    where s.status <> 'ended'
      and (
        s.id in (select w.session_id from public.epoch_wraps w where w.device_id = new.id)
        or s.id in (select p.session_id from public.session_participants p where p.user_id = new.user_id)
        or new.kind = 'analysis' and new.retired_at is null and s.mode = 'assisted'
      )
    order by 1
  loop
    perform from public.session_counters c where c.session_id = session for update;
  end loop;
  perform private.retire_epochs(array(
    select w.session_id
    from public.epoch_wraps w
    join public.sessions s on s.id = w.session_id
    where w.device_id = new.id and w.epoch >= s.min_epoch and s.status <> 'ended'
  ));
  return null;
end
$$;

-- One entry in each organisation's log: whoever reads any of their assisted sessions is their business.
create or replace function private.audit_analysis_key(key uuid, action text)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  organization uuid;
begin
  for organization in select o.id from public.organizations o order by 1 loop
    perform private.append_audit(organization, audit_analysis_key.action, 'devices', key::text, '{"kind": "analysis"}');
  end loop;
end
$$;
revoke all on function private.audit_analysis_key(uuid, text) from public;

-- As private.register_analysis_device of three, and an earlier key vouches for this one, in the same transaction: whoever knows the earlier
-- one takes the new one for the same operator's, and is not stopped. SQL cannot verify it; clients do. Each organisation's log tells of it, once.
create or replace function private.register_analysis_device(id uuid, enc_pub text, sig_pub text, by_device_id uuid, signature text)
returns uuid
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.register_analysis_device(register_analysis_device.id, register_analysis_device.enc_pub, register_analysis_device.sig_pub);
  insert into public.device_signatures (device_id, by_device_id, signature)
  select d.id, b.id, register_analysis_device.signature
  from public.devices d
  join public.devices b on b.id = register_analysis_device.by_device_id and b.kind = 'analysis' and b.revoked_at is null and b.created_at < d.created_at
  where d.id = register_analysis_device.id
    and not exists (select from public.device_signatures s where s.device_id = d.id and s.by_device_id = b.id);
  if found then
    perform private.audit_analysis_key(register_analysis_device.id, 'vouch');
  end if;
  return register_analysis_device.id;
end
$$;

-- Keys are retired and destroyed one after the other: two must not each take the other for the one that is left.
create or replace function private.lock_analysis_keys()
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('vigil analysis keys', 0));
end
$$;
revoke all on function private.lock_analysis_keys() from public;

-- New epochs leave the key out; sessions that use it now make their next epoch as retire_epochs_of_retired_keys comes by. VG027: it is the last one.
create or replace function private.retire_analysis_device(id uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  d public.devices;
begin
  perform private.lock_analysis_keys();
  select * into d from public.devices x where x.id = retire_analysis_device.id and x.kind = 'analysis' for no key update;
  if d.id is null then
    raise exception using errcode = 'PT404', message = 'no such analysis key';
  end if;
  if d.retired_at is not null or d.revoked_at is not null then
    return;
  end if;
  if not exists (
    select from public.devices o where o.kind = 'analysis' and o.id <> d.id and o.revoked_at is null and o.retired_at is null
  ) then
    raise exception using errcode = 'VG027', message = 'this is the only analysis key that new epochs can have',
      hint = 'make another first, and let the sidecar register it';
  end if;
  update public.devices x set retired_at = now() where x.id = d.id;
  perform private.audit_analysis_key(d.id, 'retire');
end
$$;

-- Whether something may still have to be read with the key: a session that goes on, was ended less than `keep` ago, or in which the sidecar
-- is behind.
create or replace function private.analysis_key_needed(device uuid, keep interval)
returns boolean
language sql stable security definer
set search_path = ''
as $$
  select exists (
    select
    from public.epoch_wraps w
    join public.sessions s on s.id = w.session_id
    join public.session_counters c on c.session_id = s.id
    join public.session_progress p on p.session_id = s.id
    where w.device_id = analysis_key_needed.device
      and w.role = 9
      and (
        s.status <> 'ended'
        or s.ended_at > now() - analysis_key_needed.keep
        or c.last_assisted_position > p.assessed_position
      )
  )
$$;

-- All of the sidecar's keys, the newest first. One that new epochs may have is needed whoever holds it.
create or replace function private.analysis_keys(keep interval default interval '72 hours')
returns table (
  id uuid, enc_pub text, sig_pub text, created_at timestamptz, retired_at timestamptz, revoked_at timestamptz, needed boolean
)
language sql stable security definer
set search_path = ''
as $$
  select d.id, d.enc_pub, d.sig_pub, d.created_at, d.retired_at, d.revoked_at,
    d.revoked_at is null and (d.retired_at is null or private.analysis_key_needed(d.id, keep))
  from public.devices d
  where d.kind = 'analysis'
  order by d.created_at desc, d.id
$$;

-- True: the key is destroyed, now or before, and its file may go. False: it is not retired, or something still needs it. A retired key is in
-- no epoch to come and an ended session stays ended: what is not needed now will not be.
create or replace function private.destroy_analysis_device(id uuid, keep interval default interval '72 hours')
returns boolean
language plpgsql security definer
set search_path = ''
as $$
declare
  d public.devices;
begin
  perform private.lock_analysis_keys();
  select * into d from public.devices x where x.id = destroy_analysis_device.id and x.kind = 'analysis' for no key update;
  if d.id is null then
    raise exception using errcode = 'PT404', message = 'no such analysis key';
  end if;
  if d.retired_at is null then
    return false;
  end if;
  if d.revoked_at is not null then
    return true;
  end if;
  if private.analysis_key_needed(d.id, keep) then
    return false;
  end if;
  update public.devices x set revoked_at = now() where x.id = d.id;
  perform private.audit_analysis_key(d.id, 'destroy');
  return true;
end
$$;

revoke all on function private.register_analysis_device(uuid, text, text, uuid, text) from public;
revoke all on function private.retire_epochs_of_retired_keys(uuid, int) from public;
revoke all on function private.retire_analysis_device(uuid) from public;
revoke all on function private.analysis_key_needed(uuid, interval) from public;
revoke all on function private.analysis_keys(interval) from public;
revoke all on function private.destroy_analysis_device(uuid, interval) from public;

grant execute on function private.register_analysis_device(uuid, text, text, uuid, text) to vigil;
grant execute on function private.retire_epochs_of_retired_keys(uuid, int) to vigil;
grant execute on function private.retire_analysis_device(uuid) to vigil;
grant execute on function private.analysis_key_needed(uuid, interval) to vigil;
grant execute on function private.analysis_keys(interval) to vigil;
grant execute on function private.destroy_analysis_device(uuid, interval) to vigil;
