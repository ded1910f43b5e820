-- Organisations and the people in them. Closed here; opened in 20260101002000_organizations_policies.sql.

create table if not exists public.organizations (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 1 and 200),
  suggestions text not null default 'off' check (suggestions in ('off', 'on_demand', 'elevated')),
  require_aal2 boolean not null default true,
  created_at timestamptz not null default now()
);
comment on table public.organizations is 'One practice or clinic. Written by private.found_organization, and by its admins.';
comment on column public.organizations.require_aal2 is 'Staff must have signed in with a second factor (aal2) or they see nothing of this organisation.';

create table if not exists public.memberships (
  organization_id uuid not null references public.organizations (id),
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null check (role in ('client', 'therapist', 'supervisor', 'admin')),
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (organization_id, user_id)
);
comment on table public.memberships is 'Who belongs to an organisation, as what, until when: the root of every right. Written by admins, the service role and private.found_organization.';
create index if not exists memberships_user_id_idx on public.memberships (user_id);

create table if not exists public.profiles (
  user_id uuid primary key references auth.users (id) on delete cascade,
  display_name text not null check (length(display_name) between 1 and 100),
  created_at timestamptz not null default now()
);
comment on table public.profiles is 'The name a person is shown by. Written by that person. Never published, never on the stream.';

create table if not exists public.crisis_policies (
  organization_id uuid primary key references public.organizations (id) on delete cascade,
  page_at_level smallint not null default 4 check (page_at_level between 1 and 6),
  review_at_level smallint not null default 1 check (review_at_level between 1 and 6),
  version int not null default 1,
  updated_at timestamptz not null default now(),
  check (review_at_level <= page_at_level)
);
comment on table public.crisis_policies is 'At which level a clinician is paged or a review is due. Made with the organisation; written by its admins. The version rises by itself.';

create or replace function private.make_crisis_policy()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.crisis_policies (organization_id) values (new.id) on conflict do nothing;
  return null;
end
$$;
revoke all on function private.make_crisis_policy() from public;

create or replace trigger an_organization_gets_its_crisis_policy
  after insert on public.organizations
  for each row execute function private.make_crisis_policy();

create or replace function private.bump_crisis_policy()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.version := old.version + 1;
  new.updated_at := now();
  return new;
end
$$;
revoke all on function private.bump_crisis_policy() from public;

create or replace trigger a_changed_crisis_policy_gets_a_new_version
  before update on public.crisis_policies
  for each row execute function private.bump_crisis_policy();

alter table public.organizations enable row level security;
alter table public.memberships enable row level security;
alter table public.profiles enable row level security;
alter table public.crisis_policies enable row level security;

revoke all on public.organizations, public.memberships, public.profiles, public.crisis_policies
  from public, anon, authenticated, service_role, vigil;

grant select on public.organizations, public.memberships, public.profiles, public.crisis_policies to authenticated;
grant update (name, suggestions, require_aal2) on public.organizations to authenticated;
grant insert (organization_id, user_id, role, started_at, ended_at) on public.memberships to authenticated;
grant update (role, ended_at) on public.memberships to authenticated;
grant insert (user_id, display_name) on public.profiles to authenticated;
grant update (display_name) on public.profiles to authenticated;
grant update (page_at_level, review_at_level) on public.crisis_policies to authenticated;

grant select on public.organizations, public.memberships, public.profiles, public.crisis_policies to service_role;
grant insert, update on public.memberships, public.profiles to service_role;
grant update (name, suggestions, require_aal2) on public.organizations to service_role;
grant update (page_at_level, review_at_level) on public.crisis_policies to service_role;

grant select (id, suggestions, require_aal2, created_at) on public.organizations to vigil;
grant select on public.memberships, public.crisis_policies to vigil;
