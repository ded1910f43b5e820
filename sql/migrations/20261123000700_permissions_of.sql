-- Many joins are one question: the sidecar asks for all that wait in one call. What a join calls is plpgsql, whose plans are kept for
-- the connection: an SQL function with a search_path is planned anew at every call.

create or replace function private.login_is_live()
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
begin
  return private.caller() is not null;
end
$$;

create or replace function relay.topic_kind()
returns text
language plpgsql stable
set search_path = ''
as $$
begin
  return substring(current_setting('relay.topic', true)
    from '^(session|care|inbox|org):[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$');
end
$$;

create or replace function relay.topic_id()
returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  return case when relay.topic_kind() is not null then split_part(current_setting('relay.topic', true), ':', 2)::uuid end;
end
$$;

-- What each person (claims[i]) may do on a topic (topics[i]): `extension.action` pairs with commas, '' if nothing. It becomes the
-- person as a policy knows one, for the rest of the transaction; only role vigil may call it, and only it may become authenticated so.
-- Volatile: each question sees what has committed when it is asked.
create or replace function private.permissions_of(claims text[], topics text[])
returns setof text
language plpgsql
set search_path = ''
as $$
begin
  if cardinality(claims) <> cardinality(topics) then
    raise exception using errcode = '22023', message = 'as many claims as topics';
  end if;
  perform set_config('transaction_read_only', 'on', true), set_config('role', 'authenticated', true);
  for i in 1 .. cardinality(topics) loop
    perform set_config('request.jwt.claims', claims[i], true), set_config('relay.topic', topics[i], true);
    return next coalesce((select string_agg(p.extension || '.' || p.action, ',') from relay.permissions p), '');
  end loop;
end
$$;
comment on function private.permissions_of(text[], text[]) is 'What each person may do on a topic, read from relay.permissions through RLS as that person.';

revoke all on function private.permissions_of(text[], text[]) from public;
grant execute on function private.permissions_of(text[], text[]) to vigil;

-- Whether the caller follows the care of one session: private.sessions_of_clinician() for one session, as private.participation() is
-- private.sessions_of_participant(); sql/tests/sessions.sql holds them together.
create or replace function private.attends(session uuid)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
begin
  return exists (
    select
    from public.sessions s
    join public.memberships m on m.organization_id = s.organization_id and m.user_id = me
    join public.organizations o on o.id = s.organization_id
    where s.id = session
      and m.ended_at is null
      and m.role in ('therapist', 'supervisor')
      and (not o.require_aal2 or auth.jwt() ->> 'aal' = 'aal2')
      and (
        m.role = 'supervisor'
        or exists (
          select
          from public.session_participants p
          where p.session_id = session and p.user_id = me and p.role = 'therapist' and p.ended_at is null
        )
        or exists (
          select
          from public.alert_recipients r
          where r.session_id = session and r.user_id = me and r.ended_at is null
        )
      )
  );
end
$$;
comment on function private.attends(uuid) is 'Whether the caller is a clinician of the session: its therapist, a supervisor of its organisation, or whom an unresolved alert reached.';
revoke all on function private.participation(uuid) from public;
revoke all on function private.attends(uuid) from public;
grant execute on function private.participation(uuid) to authenticated;
grant execute on function private.attends(uuid) to authenticated;
