-- Messages (sealed, append-only) and arrivals. Closed here; opened in 20260101002400_messages_policies.sql.

create table if not exists public.messages (
  id uuid primary key,
  session_id uuid not null,
  organization_id uuid not null,
  sender_id uuid not null,
  sender_device_id uuid not null references public.devices (id),
  epoch int not null,
  seq bigint not null check (seq between 0 and 4294967295),
  position bigint not null,
  previous_assisted_position bigint,
  assisted boolean not null,
  body text not null check (length(body) between 124 and 65536 and body ~ '^A[Q-Za-f][A-Za-z0-9_-]*$'),
  created_at timestamptz not null default now(),
  unique (session_id, position),
  unique (sender_device_id, epoch, session_id, seq),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade,
  foreign key (session_id, epoch) references public.session_epochs (session_id, epoch)
);
comment on table public.messages is 'Sealed messages. Written by participants: (id, session_id, sender_device_id, epoch, seq, body); the rest is set by trigger. Append-only: deleted to erase, never changed.';
comment on column public.messages.position is 'Dense per session; given under the lock on session_counters.';
comment on column public.messages.previous_assisted_position is 'On an assisted message: the position of the assisted one before it, 0 if none; else null.';
comment on column public.messages.body is 'base64url of 01 ‖ signature ‖ nonce ‖ ciphertext ‖ tag: 93 bytes at least.';

create table if not exists public.message_arrivals (
  message_id uuid primary key references public.messages (id) on delete cascade,
  session_id uuid not null references public.sessions (id) on delete cascade,
  organization_id uuid not null,
  position bigint not null,
  sender_id uuid not null,
  sender_device_id uuid not null,
  epoch int not null,
  seq bigint not null,
  created_at timestamptz not null,
  unique (session_id, position)
);
comment on table public.message_arrivals is 'That a message which is not assisted has come, without its body, which never enters the stream. Written by trigger only.';
alter table public.message_arrivals replica identity using index message_arrivals_session_id_position_key;

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
    or not (found_by.own_device and not found_by.same_id and not found_by.same_seq)
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
revoke all on function private.admit_message() from public;

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
revoke all on function private.refuse_message(public.messages, jsonb) from public;

create or replace trigger a_message_is_checked_before_it_is_stored
  before insert on public.messages
  for each row execute function private.admit_message();

-- After the statement: arrivals for what is not on the stream; and as many rows as positions given, or nothing.
create or replace function private.record_arrivals()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if (select count(*) from admitted) <> coalesce(nullif(current_setting('vigil.admitted', true), ''), '0')::int then
    raise exception using errcode = '23505', message = 'this message is already stored', table = 'messages', schema = 'public';
  end if;
  perform set_config('vigil.admitted', '0', true);
  insert into public.message_arrivals
    (message_id, session_id, organization_id, position, sender_id, sender_device_id, epoch, seq, created_at)
  select a.id, a.session_id, a.organization_id, a.position, a.sender_id, a.sender_device_id, a.epoch, a.seq, a.created_at
  from admitted a
  where not a.assisted;
  return null;
end
$$;
revoke all on function private.record_arrivals() from public;

create or replace trigger arrivals_are_recorded
  after insert on public.messages
  referencing new table as admitted
  for each statement execute function private.record_arrivals();

create or replace trigger a_message_stands
  before update on public.messages
  for each row execute function private.refuse_change('a message is never changed; erase it by delete');

create or replace trigger messages_are_not_truncated
  before truncate on public.messages
  for each statement execute function private.refuse_change('erase by delete, which is audited');

alter table public.messages enable row level security;
alter table public.message_arrivals enable row level security;

revoke all on public.messages, public.message_arrivals from public, anon, authenticated, service_role, vigil;

grant select on public.messages, public.message_arrivals to authenticated;
grant insert (id, session_id, sender_device_id, epoch, seq, body) on public.messages to authenticated;
grant select, delete on public.messages to service_role;
grant select on public.message_arrivals to service_role;
grant select on public.messages to vigil;
