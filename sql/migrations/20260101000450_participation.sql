-- Who is calling, and who takes part: the facts that triggers and policies rest on. None of them is granted to a client to call
-- but those that a policy names. What every message and every policy calls is plpgsql, whose plans are kept for the connection: an SQL
-- function of this kind (security definer, with a search_path) is planned anew at every call.

-- Signing out deletes the row in auth.sessions, but the token lives until it expires: a caller is someone whose login still stands.
create or replace function private.caller()
returns uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return (
    select l.user_id
    from auth.sessions l
    where l.id = (auth.jwt() ->> 'session_id')::uuid
      and l.user_id = auth.uid()
      and (l.not_after is null or l.not_after > now())
  );
end
$$;
comment on function private.caller() is 'auth.uid(), if the login named by the token''s session_id still stands; else null.';

create or replace function private.login_is_live()
returns boolean
language sql stable security definer
set search_path = ''
as $$
  select private.caller() is not null
$$;

-- Which of these logins still stand: polled by the sidecar where the trigger on auth.sessions may not be made.
create or replace function private.live_logins(logins uuid[])
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  select l.id
  from auth.sessions l
  where l.id = any (logins)
    and (l.not_after is null or l.not_after > now())
$$;

-- The caller's live memberships. Staff of an organisation that requires aal2 have none without it.
create or replace function private.memberships_of_caller()
returns table (organization_id uuid, role text)
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select m.organization_id, m.role
  from public.memberships m
  join public.organizations o on o.id = m.organization_id
  where m.user_id = (select private.caller())
    and m.ended_at is null
    and (m.role = 'client' or not o.require_aal2 or (select auth.jwt() ->> 'aal') = 'aal2');
end
$$;

-- In what follows a participant is a client by a client's membership, a therapist by a therapist's or a supervisor's:
--   (p.role = 'client') = (m.role = 'client') and m.role <> 'admin'

-- As what the caller takes part in one session, or null. The rules of memberships_of_caller() and sessions_of_participant() for one
-- session, in one query, for every message asks this; sql/tests/sessions.sql holds them together.
create or replace function private.participation(session uuid)
returns text
language plpgsql stable security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
begin
  return (
    select p.role
    from public.session_participants p
    join public.memberships m on m.organization_id = p.organization_id and m.user_id = p.user_id
    join public.organizations o on o.id = p.organization_id
    where p.session_id = session
      and p.user_id = me
      and p.ended_at is null
      and m.ended_at is null
      and (p.role = 'client') = (m.role = 'client')
      and m.role <> 'admin'
      and (m.role = 'client' or not o.require_aal2 or auth.jwt() ->> 'aal' = 'aal2')
  );
end
$$;

-- Everyone who takes part, whoever asks.
create or replace function private.active_participants(session uuid)
returns table (user_id uuid, role text)
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select p.user_id, p.role
  from public.session_participants p
  join public.memberships m on m.organization_id = p.organization_id and m.user_id = p.user_id
  where p.session_id = session
    and p.ended_at is null
    and m.ended_at is null
    and (p.role = 'client') = (m.role = 'client')
    and m.role <> 'admin';
end
$$;

-- The sidecar's key that new epochs must include: the newest that is not revoked.
create or replace function private.analysis_device()
returns setof public.devices
language sql stable security definer
set search_path = ''
as $$
  select d.*
  from public.devices d
  where d.kind = 'analysis'
    and d.revoked_at is null
  order by d.created_at desc, d.id
  limit 1
$$;

-- User ids of those who take part and have no unrevoked device.
create or replace function private.session_waits_for(session uuid)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(p.user_id order by p.user_id), '[]')
  from private.active_participants(session) p
  where not exists (
    select from public.devices d
    where d.user_id = p.user_id and d.kind = 'participant' and d.revoked_at is null
  )
$$;

revoke all on function private.caller() from public;
revoke all on function private.login_is_live() from public;
revoke all on function private.live_logins(uuid[]) from public;
revoke all on function private.memberships_of_caller() from public;
revoke all on function private.participation(uuid) from public;
revoke all on function private.active_participants(uuid) from public;
revoke all on function private.analysis_device() from public;
revoke all on function private.session_waits_for(uuid) from public;

grant execute on function private.caller() to authenticated;
grant execute on function private.login_is_live() to authenticated, vigil;
grant execute on function private.live_logins(uuid[]) to vigil;

-- Devices: the sidecar registers its key itself. A known id keeps its keys.
create or replace function private.register_analysis_device(id uuid, enc_pub text, sig_pub text)
returns uuid
language plpgsql security definer
set search_path = ''
as $$
declare
  known public.devices;
begin
  insert into public.devices (id, user_id, kind, enc_pub, sig_pub, label, created_at)
  values (register_analysis_device.id, null, 'analysis', register_analysis_device.enc_pub, register_analysis_device.sig_pub, 'Vigil', clock_timestamp())
  on conflict do nothing;
  select d.* into known from public.devices d where d.id = register_analysis_device.id;
  if known.kind <> 'analysis' or known.enc_pub <> register_analysis_device.enc_pub or known.sig_pub <> register_analysis_device.sig_pub then
    raise exception using errcode = 'VG017', message = 'this device id is known with other keys', hint = 'give the new key file a new id';
  end if;
  if known.revoked_at is not null then
    raise exception using errcode = 'VG017', message = 'this analysis device is revoked', hint = 'make a new key file';
  end if;
  return known.id;
end
$$;
revoke all on function private.register_analysis_device(uuid, text, text) from public;
grant execute on function private.register_analysis_device(uuid, text, text) to vigil;
