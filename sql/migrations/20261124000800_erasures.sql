-- Erasure: of one session, or of one person in one organisation. The wraps go first, and with them every key but the devices' own
-- (crypto-shredding); then all that was sealed or derived. What is left is this record, and the audit log's tombstones: ids and counts.
-- Closed here; opened in 20261124000801_erasures_policies.sql.
--
--   requested ──▶ shredded ──▶ done        shredded: nothing can be opened any more, and what the session's people may follow says so;
--                                          done: the sealed files are gone from Storage too, and the session's own row

create table if not exists public.erasures (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  kind text not null check (kind in ('session', 'person')),
  session_id uuid,
  person_id uuid,
  part_of uuid,
  requested_by uuid,
  people uuid[] not null default '{}',
  status text not null default 'requested' check (status in ('requested', 'shredded', 'done')),
  counts jsonb not null default '{}' check (jsonb_typeof(counts) = 'object'),
  objects_left int check (objects_left >= 0),
  audit_seq bigint,
  audit_hash text,
  created_at timestamptz not null default now(),
  shredded_at timestamptz,
  done_at timestamptz,
  check ((kind = 'session') = (session_id is not null)),
  check ((kind = 'person') = (person_id is not null)),
  check (part_of is null or kind = 'session'),
  check ((status = 'requested') = (shredded_at is null)),
  check ((status = 'done') = (done_at is not null)),
  check (status = 'requested' or (audit_seq is not null and audit_hash is not null))
);
comment on table public.erasures is 'The receipt of an erasure: what was asked for, what was destroyed (counts), and where the audit log says so. Written by request_erasure, and by the service role''s erase_session, erase_person and settle_erasure. No foreign keys: it outlives what it tells of.';
comment on column public.erasures.part_of is 'The erasure of a person that this session''s belongs to.';
comment on column public.erasures.people is 'Who took part in the session: they may read that it was erased. Not published.';
comment on column public.erasures.objects_left is 'Sealed files that are still in Storage. The bytes are nobody''s to open: their keys were in the messages.';
comment on column public.erasures.audit_seq is 'The entry of the organisation''s audit log that tells of the last step; audit_hash is its hash.';
create unique index if not exists erasures_open_session_key on public.erasures (session_id) where kind = 'session' and status <> 'done';
create unique index if not exists erasures_open_person_key on public.erasures (organization_id, person_id) where kind = 'person' and status <> 'done';
create index if not exists erasures_organization_id_idx on public.erasures (organization_id, created_at desc);
create index if not exists erasures_part_of_idx on public.erasures (part_of) where part_of is not null;
create index if not exists erasures_people_idx on public.erasures using gin (people);

create or replace function private.guard_erasure()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  changing constant text[] := array['status', 'counts', 'objects_left', 'audit_seq', 'audit_hash', 'shredded_at', 'done_at', 'people', 'part_of'];
begin
  if tg_op = 'DELETE' or to_jsonb(new) - changing <> to_jsonb(old) - changing
    or (old.status, new.status) not in (('requested', 'shredded'), ('shredded', 'shredded'), ('shredded', 'done'))
  then
    raise exception using errcode = 'VG015', message = 'a receipt stands: it is requested, shredded, done', hint = 'ask for another erasure';
  end if;
  return new;
end
$$;
revoke all on function private.guard_erasure() from public;

create or replace trigger a_receipt_stands
  before update or delete on public.erasures
  for each row execute function private.guard_erasure();

-- Writes the step in the organisation's chain, and the entry's place on the receipt: the head is locked until the transaction ends.
create or replace function private.audit_erasure(erasure public.erasures, action text)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.append_audit(
    erasure.organization_id, audit_erasure.action, 'erasures', erasure.id::text,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', erasure.kind, 'session_id', erasure.session_id, 'person_id', erasure.person_id, 'part_of', erasure.part_of,
      'counts', nullif(erasure.counts, '{}'), 'objects_left', erasure.objects_left
    ))
  );
  select h.seq, h.hash into erasure.audit_seq, erasure.audit_hash
  from private.audit_heads h where h.organization_id = erasure.organization_id;
  return erasure;
end
$$;
revoke all on function private.audit_erasure(public.erasures, text) from public;

-- A session one takes or took part in as client, or, without one, all of oneself in the organisation (the only one, if none is named). An
-- operator carries it out: law and care may ask that something be kept. Asking again gives the erasure that is under way.
create or replace function private.request_erasure(session_id uuid, organization_id uuid)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
  wanted public.erasures;
  e public.erasures;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may ask for an erasure';
  end if;
  wanted.requested_by := me;
  if request_erasure.session_id is not null then
    select p.organization_id, p.session_id into wanted.organization_id, wanted.session_id
    from public.session_participants p
    where p.session_id = request_erasure.session_id and p.user_id = me and p.role = 'client';
    if wanted.session_id is null then
      raise exception using errcode = 'PT404', message = 'no such session of the caller as its client';
    end if;
    wanted.kind := 'session';
  else
    select min(m.organization_id::text)::uuid into wanted.organization_id
    from public.memberships m
    where m.user_id = me and (request_erasure.organization_id is null or m.organization_id = request_erasure.organization_id)
    having count(*) = 1;
    if wanted.organization_id is null then
      raise exception using errcode = 'PT404', message = 'the caller belongs to no such organisation, or to several',
        hint = 'name one: organization_id';
    end if;
    wanted.kind := 'person';
    wanted.person_id := me;
  end if;
  insert into public.erasures (organization_id, kind, session_id, person_id, requested_by)
  values (wanted.organization_id, wanted.kind, wanted.session_id, wanted.person_id, me)
  on conflict do nothing
  returning * into e;
  if e.id is not null then
    perform private.audit_erasure(e, 'request');
    return e;
  end if;
  select * into e from public.erasures x
  where x.status <> 'done' and x.kind = wanted.kind
    and (x.session_id = wanted.session_id or x.person_id = wanted.person_id and x.organization_id = wanted.organization_id);
  return e;
end
$$;

-- Paths in the bucket `sealed`, read where Storage is: what nobody wrote in a table is found, too.
create or replace function private.objects_of_sessions(sessions uuid[])
returns setof text
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if to_regclass('storage.objects') is not null then
    return query
    select o.name
    from unnest(sessions) s (id)
    join storage.objects o on o.bucket_id = 'sealed' and o.name like s.id || '/%'
    order by 1;
  end if;
end
$$;
revoke all on function private.objects_of_sessions(uuid[]) from public;

-- What an erasure still has in Storage.
create or replace function private.objects_of(erasure uuid)
returns setof text
language sql stable security definer
set search_path = ''
as $$
  select private.objects_of_sessions(array(
    select e.session_id from public.erasures e where (e.id = erasure or e.part_of = erasure) and e.session_id is not null
  ))
$$;

-- Takes every lock that the erasure of these sessions needs, before the first entry of the audit log, which locks its chain's head: what is
-- being recorded in them either commits before, and is erased, or waits, and finds nothing.
create or replace function private.lock_for_erasure(sessions uuid[])
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from public.session_counters c where c.session_id = any (sessions) order by c.session_id for update;
  perform from public.sessions s where s.id = any (sessions) order by s.id for update;
  perform from public.alerts a where a.session_id = any (sessions) order by a.id for update;
  perform from public.suggestions g where g.session_id = any (sessions) order by g.id for update;
end
$$;
revoke all on function private.lock_for_erasure(uuid[]) from public;

-- Destroys one session, whose locks are held, and gives the counts. The row itself stays until the files are gone: by it the people of the
-- session still see that it was erased. In this order: wraps; the state of the detector; all that is sealed, and what was derived.
create or replace function private.shred_session(session uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  n int;
  counts jsonb;
begin
  counts := jsonb_build_object(
    'assessments', (select count(*) from public.assessments x where x.session_id = session),
    'alerts', (select count(*) from public.alerts x where x.session_id = session),
    'suggestions', (select count(*) from public.suggestions x where x.session_id = session),
    'scores', (select count(*) from public.message_scores x where x.session_id = session),
    'readers', (select count(*) from public.epoch_readers x where x.session_id = session),
    'objects', (select count(*) from private.objects_of_sessions(array[session]))
  );
  delete from public.epoch_wraps w where w.session_id = session;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('wraps', n);
  update public.sessions s set status = 'ended' where s.id = session and s.status <> 'ended';
  update public.session_progress p set state = null, topics = null, updated_at = now() where p.session_id = session;
  delete from public.messages m where m.session_id = session;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('messages', n);
  delete from public.attachments a where a.session_id = session;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('attachments', n);
  delete from public.session_epochs e where e.session_id = session;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('epochs', n);
  delete from public.session_consents c where c.session_id = session;
  get diagnostics n = row_count;
  return counts || jsonb_build_object('consents', n);
end
$$;
revoke all on function private.shred_session(uuid) from public;

-- One session's receipt: the one that was asked for, or a new one.
create or replace function private.shred_session_for(session uuid, organization uuid, whole uuid)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  e public.erasures;
begin
  insert into public.erasures (organization_id, kind, session_id, requested_by)
  values (organization, 'session', session, auth.uid())
  on conflict do nothing;
  select * into e from public.erasures x where x.session_id = session and x.kind = 'session' and x.status <> 'done' for update;
  if e.status = 'shredded' then -- nothing has come since: an ended session takes nothing
    update public.erasures x set part_of = coalesce(whole, x.part_of) where x.id = e.id returning * into e;
    return e;
  end if;
  e.counts := private.shred_session(session);
  e.people := array(select p.user_id from public.session_participants p where p.session_id = session order by 1);
  e.objects_left := (e.counts ->> 'objects')::int;
  e.part_of := coalesce(whole, e.part_of);
  e := private.audit_erasure(e, 'shred');
  update public.erasures x set
    status = 'shredded', counts = e.counts, people = e.people, objects_left = e.objects_left, part_of = e.part_of,
    audit_seq = e.audit_seq, audit_hash = e.audit_hash, shredded_at = now()
  where x.id = e.id
  returning * into e;
  return e;
end
$$;
revoke all on function private.shred_session_for(uuid, uuid, uuid) from public;

-- Destroys a session. Then: remove what objects_of(id) lists from Storage, and call settle_erasure.
create or replace function private.erase_session(session uuid)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  organization uuid;
begin
  perform private.lock_for_erasure(array[session]);
  select s.organization_id into organization from public.sessions s where s.id = session;
  if organization is null then
    raise exception using errcode = 'PT404', message = 'no such session';
  end if;
  return private.shred_session_for(session, organization, null);
end
$$;

-- Destroys what an organisation has of a person: the sessions they were the client of, how to reach them, and the membership, which ends.
-- Where they belong to no other organisation, their devices are revoked and lose their labels, and the name and every version of the recovery
-- key go too. Public keys stay while the epochs of others name them.
create or replace function private.erase_person(organization uuid, person uuid)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  sessions uuid[];
  session uuid;
  e public.erasures;
  counts jsonb;
  elsewhere boolean;
begin
  if not exists (select from public.memberships m where m.organization_id = organization and m.user_id = person) then
    raise exception using errcode = 'PT404', message = 'no such member of the organisation';
  end if;
  perform private.lock_devices_of(person);
  -- Ending the membership and revoking devices lock these one after the other: here in one order, before anything is audited.
  perform from public.session_counters c
  where c.session_id in (select p.session_id from public.session_participants p where p.user_id = person)
    or c.session_id in (select w.session_id from public.epoch_wraps w join public.devices d on d.id = w.device_id where d.user_id = person)
  order by c.session_id
  for update;
  sessions := array(
    select p.session_id from public.session_participants p
    where p.user_id = person and p.organization_id = organization and p.role = 'client'
    order by 1
  );
  perform private.lock_for_erasure(sessions);
  insert into public.erasures (organization_id, kind, person_id, requested_by)
  values (organization, 'person', person, auth.uid())
  on conflict do nothing;
  select * into e from public.erasures x
  where x.organization_id = organization and x.person_id = person and x.kind = 'person' and x.status <> 'done' for update;
  if e.status = 'shredded' then
    return e;
  end if;
  foreach session in array sessions loop
    perform private.shred_session_for(session, organization, e.id);
  end loop;
  select coalesce(jsonb_object_agg(k.name, k.n), '{}') into counts
  from (
    select c.key as name, sum(c.value::int) as n
    from public.erasures x, jsonb_each_text(x.counts) c
    where x.part_of = e.id
    group by c.key
  ) k;
  elsewhere := exists (
    select from public.memberships m where m.user_id = person and m.organization_id <> organization and m.ended_at is null
  );
  e.counts := counts || private.shred_person(organization, person, elsewhere) || jsonb_build_object('sessions', cardinality(sessions));
  e.objects_left := coalesce((e.counts ->> 'objects')::int, 0);
  e := private.audit_erasure(e, 'shred');
  update public.erasures x set
    status = 'shredded', counts = e.counts, objects_left = e.objects_left, audit_seq = e.audit_seq, audit_hash = e.audit_hash, shredded_at = now()
  where x.id = e.id
  returning * into e;
  return e;
end
$$;

-- What is kept of a person beside their sessions, in one organisation, or, unless they belong to another, everywhere.
create or replace function private.shred_person(organization uuid, person uuid, elsewhere boolean)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  n int;
  counts jsonb := '{}';
begin
  delete from public.contact_points c where c.organization_id = organization and c.user_id = person;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('contact_points', n);
  update public.memberships m set ended_at = now() where m.organization_id = organization and m.user_id = person and m.ended_at is null;
  if elsewhere then
    return counts || '{"profile": 0, "recovery_keys": 0, "devices": 0}';
  end if;
  delete from public.profiles p where p.user_id = person;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('profile', n);
  delete from public.recovery_keys k where k.user_id = person;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('recovery_keys', n);
  update public.devices d set label = null, revoked_at = coalesce(d.revoked_at, now()) where d.user_id = person;
  get diagnostics n = row_count;
  return counts || jsonb_build_object('devices', n);
end
$$;
revoke all on function private.shred_person(uuid, uuid, boolean) from public;

-- After the files are removed from Storage. objects_left: how many could not be; 0 is believed only where Storage's own table says so too.
-- With none left, the sessions' rows go, and a person's devices that nothing names any more.
create or replace function private.settle_erasure(erasure uuid, objects_left int)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  e public.erasures;
  part public.erasures;
  remaining int;
begin
  perform private.lock_for_erasure(array(
    select x.session_id from public.erasures x where (x.id = erasure or x.part_of = erasure) and x.session_id is not null
  ));
  select * into e from public.erasures x where x.id = erasure for update;
  if e.id is null then
    raise exception using errcode = 'PT404', message = 'no such erasure';
  end if;
  if e.status = 'requested' then
    raise exception using errcode = 'PT409', message = 'nothing is erased yet', detail = '{"status": "requested"}',
      hint = 'call erase_session or erase_person first';
  end if;
  if e.status = 'done' then
    return e;
  end if;
  remaining := greatest(coalesce(settle_erasure.objects_left, 1), (select count(*) from private.objects_of(e.id)));
  if remaining > 0 then
    update public.erasures x set objects_left = remaining where x.id = e.id returning * into e;
    return e;
  end if;
  for part in select * from public.erasures x where x.part_of = e.id and x.status = 'shredded' order by x.id for update loop
    perform private.finish_erasure(part);
  end loop;
  if e.kind = 'person' then
    perform private.forget_devices(e.organization_id, e.person_id);
  end if;
  return private.finish_erasure(e);
end
$$;

create or replace function private.finish_erasure(erasure public.erasures)
returns public.erasures
language plpgsql security definer
set search_path = ''
as $$
declare
  e public.erasures := erasure;
begin
  delete from public.sessions s where s.id = e.session_id;
  e.objects_left := 0;
  e := private.audit_erasure(e, 'settle');
  update public.erasures x set
    status = 'done', objects_left = 0, audit_seq = e.audit_seq, audit_hash = e.audit_hash, done_at = now()
  where x.id = e.id
  returning * into e;
  return e;
end
$$;
revoke all on function private.finish_erasure(public.erasures) from public;

-- Public keys that nothing names: with them goes what kept the person's login from being deleted.
create or replace function private.forget_devices(organization uuid, person uuid)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  device uuid;
begin
  if exists (select from public.memberships m where m.user_id = person and m.ended_at is null) then
    return;
  end if;
  for device in
    select d.id from public.devices d where d.user_id = person and d.revoked_at is not null order by d.created_at desc, d.admitted_by nulls last, d.id
  loop
    begin
      delete from public.devices d where d.id = device;
    exception when foreign_key_violation then
      null; -- an epoch, a message or a consent of another organisation names it
    end;
  end loop;
end
$$;
revoke all on function private.forget_devices(uuid, uuid) from public;

-- The doors, in public.
create or replace function public.request_erasure(session_id uuid default null, organization_id uuid default null)
returns public.erasures language sql set search_path = ''
as $$ select * from private.request_erasure(session_id, organization_id) $$;

create or replace function public.erase_session(session_id uuid)
returns public.erasures language sql set search_path = ''
as $$ select * from private.erase_session(session_id) $$;

create or replace function public.erase_person(organization_id uuid, user_id uuid)
returns public.erasures language sql set search_path = ''
as $$ select * from private.erase_person(organization_id, user_id) $$;

create or replace function public.objects_of_erasure(erasure_id uuid)
returns setof text language sql stable set search_path = ''
as $$ select * from private.objects_of(erasure_id) $$;

create or replace function public.settle_erasure(erasure_id uuid, objects_left int)
returns public.erasures language sql set search_path = ''
as $$ select * from private.settle_erasure(erasure_id, objects_left) $$;

alter table public.erasures enable row level security;

revoke all on public.erasures from public, anon, authenticated, service_role, vigil;

grant select on public.erasures to authenticated, service_role;

revoke all on function private.request_erasure(uuid, uuid) from public;
revoke all on function private.erase_session(uuid) from public;
revoke all on function private.erase_person(uuid, uuid) from public;
revoke all on function private.objects_of(uuid) from public;
revoke all on function private.settle_erasure(uuid, int) from public;
revoke all on function public.request_erasure(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.erase_session(uuid) from public, anon, authenticated, service_role;
revoke all on function public.erase_person(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.objects_of_erasure(uuid) from public, anon, authenticated, service_role;
revoke all on function public.settle_erasure(uuid, int) from public, anon, authenticated, service_role;

grant execute on function private.request_erasure(uuid, uuid) to authenticated;
grant execute on function public.request_erasure(uuid, uuid) to authenticated;
-- Whoever has the secret key may do all this anyway, row by row; by these verbs it is done whole, and leaves a receipt.
grant execute on function private.erase_session(uuid) to service_role;
grant execute on function private.erase_person(uuid, uuid) to service_role;
grant execute on function private.objects_of(uuid) to service_role;
grant execute on function private.settle_erasure(uuid, int) to service_role;
grant execute on function public.erase_session(uuid) to service_role;
grant execute on function public.erase_person(uuid, uuid) to service_role;
grant execute on function public.objects_of_erasure(uuid) to service_role;
grant execute on function public.settle_erasure(uuid, int) to service_role;
