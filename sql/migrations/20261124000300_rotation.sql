-- An epoch ends by itself: after 500 messages of all who send in it, or 24 hours. Whoever joins needs a new one, too. The database holds
-- senders to it: one whose clock or count is wrong is told which epoch to use.

alter table public.session_counters
  add column if not exists epoch int not null default 0,
  add column if not exists epoch_messages int not null default 0;
comment on table public.session_counters is 'The last position given in a session, and how many messages its latest epoch has; its row is the lock that orders messages against every change of access. Written by triggers only. Not published.';
comment on column public.session_counters.epoch is 'The latest epoch that a message was sent under.';
comment on column public.session_counters.epoch_messages is 'Messages since the first one of that epoch; one under an earlier epoch that may still be used counts as well.';

create or replace function private.max_epoch_messages()
returns int
language sql immutable parallel safe
set search_path = ''
as $$ select 500 $$;

create or replace function private.max_epoch_age()
returns interval
language sql immutable parallel safe
set search_path = ''
as $$ select interval '24 hours' $$;

-- From which epoch on messages are taken now.
create or replace function private.least_epoch(session uuid)
returns int
language sql stable security definer
set search_path = ''
as $$
  select greatest(s.min_epoch, (
    select max(e.epoch) + 1 from public.session_epochs e where e.session_id = s.id and e.created_at < now() - private.max_epoch_age()
  ))
  from public.sessions s
  where s.id = session
$$;

revoke all on function private.max_epoch_messages() from public;
revoke all on function private.max_epoch_age() from public;
revoke all on function private.least_epoch(uuid) from public;

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
    e.created_at < now() - private.max_epoch_age() as aged,
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
    or found_by.epoch is null or found_by.epoch < found_by.min_epoch or found_by.aged
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
  counter.epoch_messages := case when new.epoch > counter.epoch then 1 else counter.epoch_messages + 1 end;
  counter.epoch := greatest(counter.epoch, new.epoch);
  update public.session_counters set
    last_position = new.position,
    last_assisted_position = case when found_by.assisted then new.position else last_assisted_position end,
    epoch = counter.epoch,
    epoch_messages = counter.epoch_messages
  where session_id = new.session_id;
  if counter.epoch_messages >= private.max_epoch_messages() then
    update public.sessions set min_epoch = greatest(min_epoch, counter.epoch + 1) where id = new.session_id;
  end if;
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
  if found_by ->> 'epoch' is null or (found_by ->> 'epoch')::int < (found_by ->> 'min_epoch')::int or (found_by ->> 'aged')::boolean then
    raise exception using
      errcode = 'VG010',
      message = format('epoch %s may not be used', m.epoch),
      detail = jsonb_build_object('min_epoch', private.least_epoch(m.session_id), 'next_epoch', private.next_epoch(m.session_id))::text,
      hint = 'seal under an epoch from min_epoch on; make it if there is none';
  end if;
  if not (found_by ->> 'on_roster')::boolean then
    raise exception using errcode = 'VG012', message = 'the sending device does not hold this epoch''s key', hint = 'make the next epoch';
  end if;
  raise exception using errcode = 'VG008', message = 'not every device of the roster has this epoch''s key', hint = 'make the next epoch';
end
$$;

-- Someone takes part from now on, or again: the epochs that are there leave them out, and what is sent under one is lost to them.
create or replace function private.after_joining()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.retire_epochs(array(
    select p.session_id
    from public.session_participants p
    where p.organization_id = new.organization_id
      and p.user_id = new.user_id
      and p.ended_at is null
      and coalesce(to_jsonb(new) ->> 'session_id', p.session_id::text) = p.session_id::text
  ));
  return null;
end
$$;
revoke all on function private.after_joining() from public;

create or replace trigger a_new_participant_retires_epochs
  after insert on public.session_participants
  for each row execute function private.after_joining();
create or replace trigger a_returning_participant_retires_epochs
  after update on public.session_participants
  for each row
  when (old.ended_at is not null and new.ended_at is null)
  execute function private.after_joining();
create or replace trigger a_returning_member_retires_epochs
  after update on public.memberships
  for each row
  when (old.ended_at is not null and new.ended_at is null)
  execute function private.after_joining();
