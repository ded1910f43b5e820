-- What carries an erasure out, for the service role: shred, remove the files, settle. The receipt is in 20261124000800_erasures.sql.

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
-- being recorded in them either commits before, and is erased, or waits, and finds nothing. In the order of those who record: the session's
-- progress, a message, its session's counters. A message that comes meanwhile is not waited for while the counters are held: all is let go,
-- and taken anew. The sessions' rows are left to those who only refer to them. `also`: sessions whose counters are needed, too; `whole`: the
-- organisation all of whose alerts are needed, for a membership ends in it, in one order with the sessions' own.
create or replace function private.lock_for_erasure(sessions uuid[], also uuid[] default '{}', whole uuid default null)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  locked bigint;
begin
  for attempt in 1 .. 100 loop
    begin
      perform from public.session_progress p where p.session_id = any (sessions) order by p.session_id for update;
      select count(*) into locked
      from (select m.id from public.messages m where m.session_id = any (sessions) order by m.session_id, m.position for update) l;
      perform from public.session_counters c where c.session_id = any (sessions || also) order by c.session_id for update;
      if locked < (select count(*) from public.messages m where m.session_id = any (sessions)) then
        raise exception using errcode = 'VG028', message = 'messages keep coming while the session is erased', hint = 'end the session first, or try again';
      end if;
      exit;
    exception when sqlstate 'VG028' then
      if attempt = 100 then
        raise;
      end if;
    end;
  end loop;
  perform from public.sessions s where s.id = any (sessions) order by s.id for no key update;
  perform from public.alerts a
  where a.session_id = any (sessions) or a.organization_id = whole and a.status <> 'resolved'
  order by a.id
  for update;
  perform from public.suggestions g where g.session_id = any (sessions) order by g.id for update;
end
$$;
revoke all on function private.lock_for_erasure(uuid[], uuid[], uuid) from public;

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
  update public.session_progress p set state = null, state_version = 0, topics = null, updated_at = now() where p.session_id = session;
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

-- Destroys what an organisation has of a person: the sessions they were the client of, their keys to others (wraps_elsewhere), how to reach them,
-- and the membership, which ends.
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
  -- The membership before the devices, and these before the sessions: the order of grant_crisis_access.
  perform from public.memberships m where m.organization_id = organization and m.user_id = person for no key update;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such member of the organisation';
  end if;
  perform private.lock_devices_of(person);
  perform from public.devices d where d.user_id = person order by d.id for no key update; -- whoever revokes one holds it before any session
  sessions := array(
    select p.session_id from public.session_participants p
    where p.user_id = person and p.organization_id = organization and p.role = 'client'
    order by 1
  );
  -- Ending the membership and revoking devices lock the others one after the other: here in one order, before anything is audited.
  perform private.lock_for_erasure(sessions, array(
    select p.session_id from public.session_participants p where p.user_id = person
    union
    select w.session_id from public.epoch_wraps w join public.devices d on d.id = w.device_id where d.user_id = person
  ), organization);
  insert into public.erasures (organization_id, kind, person_id, requested_by)
  values (organization, 'person', person, auth.uid())
  on conflict do nothing;
  select * into e from public.erasures x
  where x.organization_id = organization and x.person_id = person and x.kind = 'person' and x.status <> 'done' for update;
  if e.status = 'shredded' then
    return e;
  end if;
  elsewhere := exists (
    select from public.memberships m where m.user_id = person and m.organization_id <> organization and m.ended_at is null
  );
  counts := private.shred_person(organization, person, elsewhere);
  foreach session in array sessions loop
    perform private.shred_session_for(session, organization, e.id);
  end loop;
  select counts || coalesce(jsonb_object_agg(k.name, k.n), '{}') into counts
  from (
    select c.key as name, sum(c.value::int) as n
    from public.erasures x, jsonb_each_text(x.counts) c
    where x.part_of = e.id
    group by c.key
  ) k;
  e.counts := counts || jsonb_build_object('sessions', cardinality(sessions));
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
  counts jsonb := jsonb_build_object();
begin
  -- First: it locks alerts and shifts of the whole organisation, before anything is audited.
  update public.memberships m set ended_at = now() where m.organization_id = organization and m.user_id = person and m.ended_at is null;
  -- In the sessions of others: nothing is sealed to them any more, and nothing that was is theirs to open. Those they were the client of come later.
  delete from public.epoch_wraps w
  using public.devices d
  where d.id = w.device_id
    and d.user_id = person
    and w.organization_id = organization
    and w.session_id not in (
      select p.session_id from public.session_participants p
      where p.user_id = person and p.organization_id = organization and p.role = 'client'
    );
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('wraps_elsewhere', n);
  delete from public.contact_points c where c.organization_id = organization and c.user_id = person;
  get diagnostics n = row_count;
  counts := counts || jsonb_build_object('contact_points', n);
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
  sessions uuid[];
  remaining int;
begin
  sessions := array(
    select x.session_id from public.erasures x where (x.id = erasure or x.part_of = erasure) and x.session_id is not null
  );
  -- Whoever changes who takes part holds that row, and then wants its session.
  perform from public.session_participants p where p.session_id = any (sessions) order by p.session_id, p.user_id for update;
  perform private.lock_for_erasure(sessions);
  perform from public.sessions s where s.id = any (sessions) order by s.id for update;
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
    perform private.forget_devices(e.person_id);
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
create or replace function private.forget_devices(person uuid)
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
revoke all on function private.forget_devices(uuid) from public;

-- The doors, in public.
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

revoke all on function private.erase_session(uuid) from public;
revoke all on function private.erase_person(uuid, uuid) from public;
revoke all on function private.objects_of(uuid) from public;
revoke all on function private.settle_erasure(uuid, int) from public;
revoke all on function public.erase_session(uuid) from public, anon, authenticated, service_role;
revoke all on function public.erase_person(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.objects_of_erasure(uuid) from public, anon, authenticated, service_role;
revoke all on function public.settle_erasure(uuid, int) from public, anon, authenticated, service_role;
-- Whoever has the secret key may do all this anyway, row by row; by these verbs it is done whole, and leaves a receipt.
grant execute on function private.erase_session(uuid) to service_role;
grant execute on function private.erase_person(uuid, uuid) to service_role;
grant execute on function private.objects_of(uuid) to service_role;
grant execute on function private.settle_erasure(uuid, int) to service_role;
grant execute on function public.erase_session(uuid) to service_role;
grant execute on function public.erase_person(uuid, uuid) to service_role;
grant execute on function public.objects_of_erasure(uuid) to service_role;
grant execute on function public.settle_erasure(uuid, int) to service_role;
