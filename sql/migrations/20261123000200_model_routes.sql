-- Which model an organisation lets the sidecar ask. Closed here; opened in 20261123000201_model_routes_policies.sql.

create table if not exists public.model_routes (
  organization_id uuid not null references public.organizations (id) on delete cascade,
  task text not null check (task in ('suggest')),
  provider text not null check (provider in ('openai')),
  model text not null check (model ~ '^[A-Za-z0-9._:/-]{1,200}$'),
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, task)
);
comment on table public.model_routes is 'Which model may be asked for which task. Written by the organisation''s admins. Opens nothing by itself: every call needs the client''s consent to external_models, too.';
comment on column public.model_routes.provider is 'How it is spoken to: openai, the API of that shape at VIGIL_MODEL_URL.';

create or replace function private.touch_model_route()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;
revoke all on function private.touch_model_route() from public;

create or replace trigger a_changed_model_route_says_when
  before update on public.model_routes
  for each row execute function private.touch_model_route();

create or replace trigger written_in_the_audit_log after insert or update or delete on public.model_routes
  for each row execute function private.audit_row('organization_id,task', 'provider,model,enabled');

alter table public.model_routes enable row level security;

revoke all on public.model_routes from public, anon, authenticated, service_role, vigil;

grant select, delete on public.model_routes to authenticated, service_role;
grant insert (organization_id, task, provider, model, enabled) on public.model_routes to authenticated, service_role;
grant update (provider, model, enabled) on public.model_routes to authenticated, service_role;
grant select on public.model_routes to vigil;
