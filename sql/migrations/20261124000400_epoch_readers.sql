-- Who else was given an epoch's key, beside its roster, by whom and why: a person's own new device or recovery key (history), or a clinician
-- whom an alert paged (crisis_access). The wrap is in epoch_wraps; the row here is signed, on the stream, and shown to everyone in the session.
-- Opened in 20261124000401_epoch_readers_policies.sql.

create table if not exists public.epoch_readers (
  session_id uuid not null,
  epoch int not null,
  device_id uuid not null references public.devices (id),
  user_id uuid not null,
  organization_id uuid not null,
  role smallint not null check (role in (1, 2, 3, 4)),
  reason text not null check (reason in ('crisis_access', 'history')),
  alert_id uuid,
  by_device_id uuid not null references public.devices (id),
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  wrap_hash text check (wrap_hash ~ '^[A-Za-z0-9_-]{43}$'),
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (session_id, epoch, device_id),
  foreign key (session_id, epoch) references public.session_epochs (session_id, epoch) on delete cascade,
  check ((reason = 'crisis_access') = (role = 3)),
  check ((reason = 'crisis_access') = (alert_id is not null))
);
comment on table public.epoch_readers is 'That a device which is not on an epoch''s roster holds its key. Written by share_epochs and, for the sidecar, by private.grant_crisis_access; ended by trigger.';
comment on column public.epoch_readers.role is 'As in epoch_wraps: 1 client and 2 therapist for a device of theirs, 3 on-call clinician, 4 recovery key. What the signature is over.';
comment on column public.epoch_readers.by_device_id is 'Who gave it: another device of the same person, or the analysis device that the epoch''s roster names.';
comment on column public.epoch_readers.signature is 'The giver''s, over the wrap and whom it is for. One of a shared history that does not hold is replaced by another of the person''s devices.';
comment on column public.epoch_readers.wrap_hash is 'SHA-256 of the wrap, in base64url: with it everyone in the session can verify the signature. Not on the stream.';
comment on column public.epoch_readers.ended_at is 'Crisis access is over: its wrap is deleted, and the session''s epochs are retired.';
comment on table public.epoch_wraps is 'The epoch key, sealed to one device: of the roster, by create_epoch, or beside it, by share_epochs and private.grant_crisis_access, with a row in epoch_readers. Written by these only; deleted to erase, and when crisis access ends. Not published.';
create index if not exists epoch_readers_device_id_idx on public.epoch_readers (device_id);
create index if not exists epoch_readers_open_idx on public.epoch_readers (session_id) where reason = 'crisis_access' and ended_at is null;

create or replace function private.guard_epoch_reader()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  changing text[] := array['ended_at'];
begin
  if old.ended_at is not null and new.ended_at is null then -- a later alert, or one's own other device, gives the same epoch again
    changing := changing || array['role', 'reason', 'alert_id', 'by_device_id', 'signature', 'wrap_hash', 'created_at'];
  elsif old.ended_at is not null then
    changing := '{}';
  elsif old.reason = 'history' and new.signature <> old.signature then -- what was shared is corrected
    changing := array['by_device_id', 'signature', 'wrap_hash', 'created_at'];
  end if;
  if to_jsonb(new) - changing <> to_jsonb(old) - changing then
    raise exception using errcode = 'VG015', message = 'who was given a key stands, but for its end';
  end if;
  return new;
end
$$;
revoke all on function private.guard_epoch_reader() from public;

create or replace trigger an_epoch_reader_stands
  before update on public.epoch_readers
  for each row execute function private.guard_epoch_reader();

-- One entry for each session and device of a statement: sharing a history is one act, however many epochs it has.
create or replace function private.audit_epoch_readers()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  entry record;
begin
  for entry in
    select c.organization_id, c.session_id, c.device_id, c.user_id, c.role, c.reason, c.alert_id, c.by_device_id, c.ended_at,
      min(c.epoch) as first_epoch, max(c.epoch) as last_epoch, count(*) as epochs
    from changed c
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9
    order by 1, 2, 3
  loop
    perform private.append_audit(
      entry.organization_id, lower(tg_op), 'epoch_readers', format('%s/%s', entry.session_id, entry.device_id),
      jsonb_strip_nulls(to_jsonb(entry) - 'organization_id')
    );
  end loop;
  return null;
end
$$;
revoke all on function private.audit_epoch_readers() from public;

create or replace trigger written_in_the_audit_log after insert on public.epoch_readers
  referencing new table as changed
  for each statement execute function private.audit_epoch_readers();
create or replace trigger written_in_the_audit_log_when_changed after update on public.epoch_readers
  referencing new table as changed
  for each statement execute function private.audit_epoch_readers();

-- Takes the locks of these sessions, in one order.
create or replace function private.lock_sessions(session_ids uuid[])
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.session_counters c where c.session_id = any (session_ids) order by c.session_id for update;
end
$$;
revoke all on function private.lock_sessions(uuid[]) from public;

-- The rows of both devices are held first, then the sessions': a revocation takes them in the same order, and so either sees the wraps that
-- this writes, or is seen.
create or replace function private.hold_own_device(device uuid, person uuid)
returns public.devices
language plpgsql security definer
set search_path = ''
as $$
declare
  d public.devices;
begin
  select * into d from public.devices x
  where x.id = device and x.user_id = person and x.kind <> 'analysis'
  for share;
  if d.id is null or d.revoked_at is not null then
    raise exception using errcode = 'VG011', message = 'a history is shared between unrevoked devices of the caller';
  end if;
  if d.admitted_at is null then
    raise exception using errcode = 'VG025', message = 'this device waits for another of yours', hint = 'approve it on a device that you use already';
  end if;
  return d;
end
$$;
revoke all on function private.hold_own_device(uuid, uuid) from public;

-- Gives epochs that one of the caller's devices holds to another of theirs. shares: [{session_id, epoch, wrap, signature}], 500 at most. What
-- the other holds from the roster or on call, or the first does not, is passed over; gives how many were written. A key held only on call is
-- not passed on. What was shared is replaced by what is signed otherwise: whoever has a token could share what opens nothing, and the person's
-- own devices, which see that it does not hold, must be able to mend it. By the same token the true one could be replaced, so what is replaced is
-- kept (20261124000440_former_wraps.sql).
create or replace function private.share_epochs(device_id uuid, by_device_id uuid, shares jsonb)
returns int
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant int := 500;
  me constant uuid := private.caller();
  given_to public.devices;
  stored int;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may share their history';
  end if;
  if share_epochs.device_id = share_epochs.by_device_id or coalesce(jsonb_typeof(shares), '') <> 'array' then
    raise exception using errcode = '23514', message = 'a history is a list of epochs, shared from one device to another';
  end if;
  if jsonb_array_length(shares) > most then
    raise exception using errcode = '23514', message = format('at most %s epochs are shared at once', most);
  end if;
  if share_epochs.device_id < share_epochs.by_device_id then
    given_to := private.hold_own_device(share_epochs.device_id, me);
    perform private.hold_own_device(share_epochs.by_device_id, me);
  else
    perform private.hold_own_device(share_epochs.by_device_id, me);
    given_to := private.hold_own_device(share_epochs.device_id, me);
  end if;
  perform private.lock_sessions(array(
    select s.session_id from jsonb_to_recordset(shares) s (session_id uuid) where s.session_id in (select private.sessions_of_participant())
  ));
  with wanted as (
    select distinct on (s.session_id, s.epoch)
      s.session_id, s.epoch, s.wrap, s.signature, w.organization_id,
      h.wrap as old_wrap, r.signature as old_signature, r.by_device_id as old_by_device_id, r.created_at as old_given_at,
      case when given_to.kind = 'recovery' then 4 when p.role = 'client' then 1 else 2 end as role
    from jsonb_to_recordset(shares) s (session_id uuid, epoch int, wrap text, signature text)
    join public.epoch_wraps w
      on w.session_id = s.session_id and w.epoch = s.epoch and w.device_id = share_epochs.by_device_id and w.role in (1, 2, 4)
    join public.session_participants p on p.session_id = s.session_id and p.user_id = me
    left join public.epoch_wraps h on h.session_id = s.session_id and h.epoch = s.epoch and h.device_id = share_epochs.device_id
    left join public.epoch_readers r on r.session_id = s.session_id and r.epoch = s.epoch and r.device_id = share_epochs.device_id
    where s.session_id in (select private.sessions_of_participant())
      and (h.wrap is null or r.reason = 'history' and r.ended_at is null and r.signature is distinct from s.signature)
      and (
        select count(*) from public.former_wraps f where f.session_id = s.session_id and f.epoch = s.epoch and f.device_id = share_epochs.device_id
      ) < private.max_former_wraps()
    order by s.session_id, s.epoch
  ), kept as (
    insert into public.former_wraps (session_id, epoch, device_id, organization_id, by_device_id, signature, wrap, given_at)
    select x.session_id, x.epoch, given_to.id, x.organization_id, x.old_by_device_id, x.old_signature, x.old_wrap, x.old_given_at
    from wanted x
    where x.old_wrap is not null
    on conflict do nothing
  ), wrapped as (
    insert into public.epoch_wraps as h (session_id, epoch, device_id, organization_id, role, wrap)
    select x.session_id, x.epoch, given_to.id, x.organization_id, x.role, x.wrap from wanted x
    on conflict on constraint epoch_wraps_pkey do update set wrap = excluded.wrap
    returning h.session_id, h.epoch, h.wrap
  )
  insert into public.epoch_readers as r (session_id, epoch, device_id, user_id, organization_id, role, reason, by_device_id, signature, wrap_hash)
  select x.session_id, x.epoch, given_to.id, me, x.organization_id, x.role, 'history', share_epochs.by_device_id, x.signature,
    private.to_base64url(sha256(private.from_base64url(w.wrap)))
  from wanted x
  join wrapped w on w.session_id = x.session_id and w.epoch = x.epoch
  on conflict on constraint epoch_readers_pkey do update set
    role = excluded.role, reason = 'history', alert_id = null, by_device_id = excluded.by_device_id, signature = excluded.signature,
    wrap_hash = excluded.wrap_hash, created_at = now(), ended_at = null;
  get diagnostics stored = row_count;
  return stored;
end
$$;

create or replace function public.share_epochs(device_id uuid, by_device_id uuid, shares jsonb)
returns int language sql set search_path = ''
as $$ select private.share_epochs(device_id, by_device_id, shares) $$;

-- As in 20260101001200_access.sql, with whoever holds a key of a session that the caller sees: a client is to see by whom they are read.
create or replace function private.people_of_caller()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select private.caller() where private.caller() is not null
  union
  select p.user_id
  from public.session_participants p
  where p.session_id in (select private.sessions_of_caller())
  union
  select r.user_id
  from public.epoch_readers r
  where r.reason = 'crisis_access' and r.session_id in (select private.sessions_of_caller())
  union
  select m.user_id
  from public.memberships m
  where m.organization_id in (select private.organizations_of_staff());
end
$$;

alter table public.epoch_readers enable row level security;

revoke all on public.epoch_readers from public, anon, authenticated, service_role, vigil;

grant select on public.epoch_readers to authenticated, service_role, vigil;

revoke all on function private.share_epochs(uuid, uuid, jsonb) from public;
revoke all on function public.share_epochs(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.share_epochs(uuid, uuid, jsonb) to authenticated;
grant execute on function public.share_epochs(uuid, uuid, jsonb) to authenticated;
