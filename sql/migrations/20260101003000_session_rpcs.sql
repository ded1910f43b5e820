-- The verbs of a session, for supabase-js's rpc(). What is in public runs as its caller and only hands over; the function of the
-- same name in private checks the caller itself. Error codes: sql/README.md.

create or replace function private.create_session(organization_id uuid, client_id uuid, mode text, scheduled_for timestamptz)
returns public.sessions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions;
begin
  if not exists (
    select from private.memberships_of_caller() m
    where m.organization_id = create_session.organization_id and m.role in ('therapist', 'supervisor')
  ) then
    raise exception using errcode = '42501', message = 'only a therapist or supervisor of the organisation may create a session',
      hint = 'where the organisation requires it, sign in with the second factor (aal2)';
  end if;
  if create_session.mode is null or create_session.mode not in ('strict', 'assisted') then
    raise exception using errcode = '23514', message = 'mode is strict or assisted: nobody is watched, or unwatched, by default';
  end if;
  insert into public.sessions (organization_id, mode, scheduled_for, created_by)
  values (create_session.organization_id, create_session.mode, create_session.scheduled_for, auth.uid())
  returning * into s;
  insert into public.session_participants (session_id, user_id, organization_id, role)
  values (s.id, auth.uid(), s.organization_id, 'therapist'), (s.id, create_session.client_id, s.organization_id, 'client');
  return s;
end
$$;

-- Only whoever leads the session, its therapist or a supervisor, may move it. Returns the row, locked against messages.
create or replace function private.led_session(session uuid)
returns public.sessions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions;
begin
  perform from public.session_counters c where c.session_id = session for update;
  select * into s from public.sessions where id = session;
  if s.id is null or s.id not in (select private.sessions_of_caller()) then
    raise exception using errcode = 'PT404', message = 'no such session';
  end if;
  if private.participation(session) is distinct from 'therapist'
    and s.organization_id not in (select private.organizations_of_supervisor())
  then
    raise exception using errcode = '42501', message = 'only the session''s therapist or a supervisor may do this';
  end if;
  return s;
end
$$;

create or replace function private.move_session(session uuid, from_status text[], to_status text)
returns public.sessions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions := private.led_session(session);
begin
  if s.status <> all (from_status) then
    raise exception using
      errcode = 'VG002',
      message = format('a session that is %s cannot do this', s.status),
      detail = jsonb_build_object('status', s.status)::text;
  end if;
  update public.sessions set status = to_status where id = session returning * into s;
  return s;
end
$$;

create or replace function private.change_session_mode(session_id uuid, mode text)
returns public.sessions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions := private.led_session(change_session_mode.session_id);
begin
  update public.sessions x set mode = change_session_mode.mode where x.id = s.id returning * into s;
  return s;
end
$$;

create or replace function private.start_session(session_id uuid)
returns public.sessions language sql security definer set search_path = ''
as $$ select * from private.move_session(session_id, '{scheduled}', 'active') $$;

create or replace function private.pause_session(session_id uuid)
returns public.sessions language sql security definer set search_path = ''
as $$ select * from private.move_session(session_id, '{active}', 'paused') $$;

create or replace function private.resume_session(session_id uuid)
returns public.sessions language sql security definer set search_path = ''
as $$ select * from private.move_session(session_id, '{paused}', 'active') $$;

create or replace function private.end_session(session_id uuid)
returns public.sessions language sql security definer set search_path = ''
as $$ select * from private.move_session(session_id, '{scheduled,active,paused}', 'ended') $$;

-- One transaction: the epoch and a wrap for every device of its roster, no more and no fewer.
create or replace function private.create_epoch(
  session_id uuid, epoch int, device_id uuid, roster jsonb, roster_hash text, key_commit text, signature text, consent_id uuid, wraps jsonb
)
returns public.session_epochs
language plpgsql security definer
set search_path = ''
as $$
declare
  e public.session_epochs;
  stored int;
begin
  insert into public.session_epochs (session_id, epoch, device_id, roster, roster_hash, key_commit, signature, consent_id)
  values (
    create_epoch.session_id, create_epoch.epoch, create_epoch.device_id, create_epoch.roster, create_epoch.roster_hash,
    create_epoch.key_commit, create_epoch.signature, create_epoch.consent_id
  )
  returning * into e;
  insert into public.epoch_wraps (session_id, epoch, device_id, organization_id, role, wrap)
  select e.session_id, e.epoch, r.kid, e.organization_id, r.role, create_epoch.wraps ->> r.kid::text
  from jsonb_to_recordset(e.roster) r (kid uuid, role smallint)
  where create_epoch.wraps ->> r.kid::text is not null;
  get diagnostics stored = row_count;
  if stored <> jsonb_array_length(e.roster) or stored <> (select count(*) from jsonb_object_keys(create_epoch.wraps)) then
    raise exception using errcode = 'VG008', message = 'wraps must hold one wrap for each device of the roster, and no other';
  end if;
  return e;
end
$$;

create or replace function private.withdraw_consent(consent_id uuid, signature text)
returns public.session_consents
language plpgsql security definer
set search_path = ''
as $$
declare
  c public.session_consents;
begin
  select * into c from public.session_consents x where x.id = consent_id and x.user_id = (select private.caller());
  if c.id is null then
    raise exception using errcode = 'PT404', message = 'no such consent of the caller';
  end if;
  perform from public.session_counters x where x.session_id = c.session_id for update;
  update public.session_consents x set withdrawn_at = now(), withdrawal_signature = withdraw_consent.signature
  where x.id = c.id and x.withdrawn_at is null;
  select * into c from public.session_consents x where x.id = consent_id;
  return c;
end
$$;

-- The doors, in public.
create or replace function public.create_session(organization_id uuid, client_id uuid, mode text, scheduled_for timestamptz default null)
returns public.sessions language sql set search_path = ''
as $$ select * from private.create_session(organization_id, client_id, mode, scheduled_for) $$;

create or replace function public.start_session(session_id uuid)
returns public.sessions language sql set search_path = ''
as $$ select * from private.start_session(session_id) $$;

create or replace function public.pause_session(session_id uuid)
returns public.sessions language sql set search_path = ''
as $$ select * from private.pause_session(session_id) $$;

create or replace function public.resume_session(session_id uuid)
returns public.sessions language sql set search_path = ''
as $$ select * from private.resume_session(session_id) $$;

create or replace function public.end_session(session_id uuid)
returns public.sessions language sql set search_path = ''
as $$ select * from private.end_session(session_id) $$;

create or replace function public.change_session_mode(session_id uuid, mode text)
returns public.sessions language sql set search_path = ''
as $$ select * from private.change_session_mode(session_id, mode) $$;

create or replace function public.create_epoch(
  session_id uuid, epoch int, device_id uuid, roster jsonb, roster_hash text, key_commit text, signature text, consent_id uuid, wraps jsonb
)
returns public.session_epochs language sql set search_path = ''
as $$
  select * from private.create_epoch(session_id, epoch, device_id, roster, roster_hash, key_commit, signature, consent_id, wraps)
$$;

create or replace function public.withdraw_consent(consent_id uuid, signature text)
returns public.session_consents language sql set search_path = ''
as $$ select * from private.withdraw_consent(consent_id, signature) $$;

revoke all on function private.create_session(uuid, uuid, text, timestamptz) from public;
revoke all on function private.led_session(uuid) from public;
revoke all on function private.move_session(uuid, text[], text) from public;
revoke all on function private.change_session_mode(uuid, text) from public;
revoke all on function private.start_session(uuid) from public;
revoke all on function private.pause_session(uuid) from public;
revoke all on function private.resume_session(uuid) from public;
revoke all on function private.end_session(uuid) from public;
revoke all on function private.create_epoch(uuid, int, uuid, jsonb, text, text, text, uuid, jsonb) from public;
revoke all on function private.withdraw_consent(uuid, text) from public;
revoke all on function public.create_session(uuid, uuid, text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.change_session_mode(uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.start_session(uuid) from public, anon, authenticated, service_role;
revoke all on function public.pause_session(uuid) from public, anon, authenticated, service_role;
revoke all on function public.resume_session(uuid) from public, anon, authenticated, service_role;
revoke all on function public.end_session(uuid) from public, anon, authenticated, service_role;
revoke all on function public.create_epoch(uuid, int, uuid, jsonb, text, text, text, uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.withdraw_consent(uuid, text) from public, anon, authenticated, service_role;

grant execute on function private.create_session(uuid, uuid, text, timestamptz) to authenticated;
grant execute on function private.change_session_mode(uuid, text) to authenticated;
grant execute on function private.start_session(uuid) to authenticated;
grant execute on function private.pause_session(uuid) to authenticated;
grant execute on function private.resume_session(uuid) to authenticated;
grant execute on function private.end_session(uuid) to authenticated;
grant execute on function private.create_epoch(uuid, int, uuid, jsonb, text, text, text, uuid, jsonb) to authenticated;
grant execute on function private.withdraw_consent(uuid, text) to authenticated;
grant execute on function public.create_session(uuid, uuid, text, timestamptz) to authenticated;
grant execute on function public.change_session_mode(uuid, text) to authenticated;
grant execute on function public.start_session(uuid) to authenticated;
grant execute on function public.pause_session(uuid) to authenticated;
grant execute on function public.resume_session(uuid) to authenticated;
grant execute on function public.end_session(uuid) to authenticated;
grant execute on function public.create_epoch(uuid, int, uuid, jsonb, text, text, text, uuid, jsonb) to authenticated;
grant execute on function public.withdraw_consent(uuid, text) to authenticated;
