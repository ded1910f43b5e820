-- How an organisation begins, and what its members' tokens say about it.

-- Run by an operator in the SQL editor: the organisation, and its first admin, who must have signed up.
create or replace function private.found_organization(name text, email text)
returns uuid
language plpgsql security definer
set search_path = ''
as $$
declare
  founder uuid;
  organization uuid;
begin
  select u.id into founder from auth.users u where lower(u.email) = lower(found_organization.email);
  if founder is null then
    raise exception using errcode = 'VG018', message = 'nobody has signed up with this address', hint = 'sign up in the app, or invite them, and run this again';
  end if;
  insert into public.organizations (name) values (found_organization.name) returning id into organization;
  insert into public.memberships (organization_id, user_id, role) values (organization, founder, 'admin');
  return organization;
end
$$;
revoke all on function private.found_organization(text, text) from public;

-- The access-token hook (Supabase Auth calls it before it signs a token). The claim is for screens only: no policy reads it, for it
-- lives until the token expires. An error here would keep everybody from signing in, so there is none.
create or replace function private.custom_access_token_hook(event jsonb)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  memberships jsonb;
begin
  select coalesce(jsonb_agg(jsonb_build_object('organization_id', m.organization_id, 'role', m.role) order by m.organization_id), '[]')
  into memberships
  from public.memberships m
  where m.user_id = (event ->> 'user_id')::uuid
    and m.ended_at is null;
  return jsonb_set(event, '{claims,memberships}', memberships);
exception when others then
  return event;
end
$$;
revoke all on function private.custom_access_token_hook(jsonb) from public;
grant execute on function private.custom_access_token_hook(jsonb) to supabase_auth_admin;
