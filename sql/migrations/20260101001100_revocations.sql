-- What follows when someone or some device loses access: epochs are retired (sessions.min_epoch rises), acknowledged alerts of that
-- person are open again, shifts are flagged. By triggers, so that one plain update in SQL is enough.

-- Retires the epochs of these sessions. Takes each session's lock, in one order, so that no message in flight passes it.
create or replace function private.retire_epochs(session_ids uuid[])
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  session uuid;
begin
  for session in select s.id from public.sessions s where s.id = any (session_ids) and s.status <> 'ended' order by 1 loop
    perform from public.session_counters c where c.session_id = session for update;
    update public.sessions s set min_epoch = private.next_epoch(session)
    where s.id = session and s.min_epoch < private.next_epoch(session);
  end loop;
end
$$;
revoke all on function private.retire_epochs(uuid[]) from public;

create or replace function private.after_membership_change()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  was public.memberships := old;
begin
  if tg_op = 'UPDATE' and not (old.ended_at is null and (new.ended_at is not null or new.role <> old.role)) then
    return null;
  end if;
  perform private.retire_epochs(array(
    select p.session_id
    from public.session_participants p
    where p.organization_id = was.organization_id and p.user_id = was.user_id and p.ended_at is null
  ));
  -- All locks before the first entry of the audit log, which locks its chain's head.
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
  return null;
end
$$;
revoke all on function private.after_membership_change() from public;

create or replace trigger losing_a_membership_has_consequences
  after update or delete on public.memberships
  for each row execute function private.after_membership_change();

create or replace function private.guard_membership()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.organization_id, new.user_id) <> (old.organization_id, old.user_id) then
    raise exception using errcode = 'VG016', message = 'a membership keeps its organisation and its person';
  end if;
  return new;
end
$$;
revoke all on function private.guard_membership() from public;

create or replace trigger a_membership_keeps_its_person
  before update on public.memberships
  for each row execute function private.guard_membership();

create or replace function private.after_participant_change()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' or (old.ended_at is null and (new.ended_at is not null or new.role <> old.role)) then
    perform private.retire_epochs(array[old.session_id]);
  end if;
  return null;
end
$$;
revoke all on function private.after_participant_change() from public;

create or replace trigger losing_a_participant_retires_epochs
  after update or delete on public.session_participants
  for each row execute function private.after_participant_change();

create or replace function private.after_consent_withdrawal()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.retire_epochs(array[new.session_id]);
  return null;
end
$$;
revoke all on function private.after_consent_withdrawal() from public;

create or replace trigger withdrawing_consent_retires_epochs
  after update on public.session_consents
  for each row
  when (old.withdrawn_at is null and new.withdrawn_at is not null)
  execute function private.after_consent_withdrawal();

-- A device counts where it holds the key of an epoch that may still be used. Which those are is only known under the locks: an epoch
-- that is being made is not to be seen before. So every session that may have one is locked first, in one order.
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
        or new.kind = 'analysis' and s.mode = 'assisted'
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
revoke all on function private.after_device_revocation() from public;

create or replace trigger revoking_a_device_retires_epochs
  after update on public.devices
  for each row
  when (old.revoked_at is null and new.revoked_at is not null)
  execute function private.after_device_revocation();
