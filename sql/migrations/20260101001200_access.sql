-- Which rows the caller may see: the functions that table policies and channel policies share. Each returns the set of ids,
-- is planned once per statement, and sees nothing for an ended login or for staff without the second factor they owe.

create or replace function private.organizations_of_caller()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query select m.organization_id from private.memberships_of_caller() m;
end
$$;

create or replace function private.organizations_of_staff()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query select m.organization_id from private.memberships_of_caller() m where m.role in ('therapist', 'supervisor', 'admin');
end
$$;

create or replace function private.organizations_of_supervisor()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query select m.organization_id from private.memberships_of_caller() m where m.role = 'supervisor';
end
$$;

create or replace function private.organizations_of_admin()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query select m.organization_id from private.memberships_of_caller() m where m.role = 'admin';
end
$$;

create or replace function private.sessions_of_participant()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select p.session_id
  from public.session_participants p
  join private.memberships_of_caller() m on m.organization_id = p.organization_id
  where p.user_id = (select private.caller())
    and p.ended_at is null
    and (p.role = 'client') = (m.role = 'client')
    and m.role <> 'admin';
end
$$;

-- Therapists of their own sessions, supervisors of their organisation's, and whom an unresolved alert reached.
create or replace function private.sessions_of_clinician()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with m as materialized (
    select c.organization_id, c.role from private.memberships_of_caller() c where c.role in ('therapist', 'supervisor')
  )
  select p.session_id
  from public.session_participants p
  join m on m.organization_id = p.organization_id
  where p.user_id = (select private.caller())
    and p.role = 'therapist'
    and p.ended_at is null
  union
  select s.id
  from public.sessions s
  join m on m.organization_id = s.organization_id
  where m.role = 'supervisor'
  union
  select r.session_id
  from public.alert_recipients r
  join m on m.organization_id = r.organization_id
  where r.user_id = (select private.caller())
    and r.ended_at is null;
end
$$;

create or replace function private.sessions_of_caller()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select private.sessions_of_participant()
  union
  select private.sessions_of_clinician();
end
$$;

-- The caller's own inbox, once every organisation they serve as staff has the second factor it asks for.
create or replace function private.inboxes_of_caller()
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select private.caller()
  where exists (select from private.organizations_of_staff())
    and not exists (
      select from public.memberships m
      where m.user_id = (select private.caller())
        and m.ended_at is null
        and m.organization_id not in (select private.organizations_of_caller())
    );
end
$$;

-- People whose name and devices the caller may see: of the sessions they see, and, for staff, of the organisation.
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
  select m.user_id
  from public.memberships m
  where m.organization_id in (select private.organizations_of_staff());
end
$$;

revoke all on function private.organizations_of_caller() from public;
revoke all on function private.organizations_of_staff() from public;
revoke all on function private.organizations_of_supervisor() from public;
revoke all on function private.organizations_of_admin() from public;
revoke all on function private.sessions_of_participant() from public;
revoke all on function private.sessions_of_clinician() from public;
revoke all on function private.sessions_of_caller() from public;
revoke all on function private.inboxes_of_caller() from public;
revoke all on function private.people_of_caller() from public;

grant execute on function private.organizations_of_caller() to authenticated;
grant execute on function private.organizations_of_staff() to authenticated;
grant execute on function private.organizations_of_supervisor() to authenticated;
grant execute on function private.organizations_of_admin() to authenticated;
grant execute on function private.sessions_of_participant() to authenticated;
grant execute on function private.sessions_of_clinician() to authenticated;
grant execute on function private.sessions_of_caller() to authenticated;
grant execute on function private.inboxes_of_caller() to authenticated;
grant execute on function private.people_of_caller() to authenticated;
