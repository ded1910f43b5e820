-- What was shared before it was replaced. Whoever has a token may replace what a device was given by what opens nothing, and SQL cannot tell: so
-- nothing is lost by it. The device, which can tell, takes the one that holds back. Opened in 20261124000441_former_wraps_policies.sql.

create table if not exists public.former_wraps (
  session_id uuid not null,
  epoch int not null,
  device_id uuid not null,
  organization_id uuid not null,
  by_device_id uuid not null,
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  wrap text not null,
  given_at timestamptz not null,
  replaced_at timestamptz not null default now(),
  primary key (session_id, epoch, device_id, signature),
  foreign key (session_id, epoch, device_id) references public.epoch_wraps (session_id, epoch, device_id) on delete cascade
);
comment on table public.former_wraps is 'Wraps of a shared history that others took the place of; 20 of one at most, beyond which it is not replaced any more. Written by share_epochs and restore_epochs; gone with the wrap that is there. Never published, never read by the sidecar.';
comment on column public.former_wraps.signature is 'As in epoch_readers, by by_device_id.';
comment on column public.former_wraps.given_at is 'When it was shared, and not when it was restored: what its giver gave before it was revoked counts.';

create or replace function private.max_former_wraps()
returns int
language sql immutable parallel safe
set search_path = ''
as $$ select 20 $$;
revoke all on function private.max_former_wraps() from public;

-- Puts former wraps of one of the caller's devices in the place of those that are there, which become former ones. formers: [{session_id, epoch,
-- signature}], 500 at most; gives how many were restored.
create or replace function private.restore_epochs(device_id uuid, formers jsonb)
returns int
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant int := 500;
  me constant uuid := private.caller();
  stored int;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may restore their history';
  end if;
  if coalesce(jsonb_typeof(formers), '') <> 'array' or jsonb_array_length(formers) > most then
    raise exception using errcode = '23514', message = format('what is restored is a list of at most %s epochs', most);
  end if;
  perform private.hold_own_device(restore_epochs.device_id, me);
  perform private.lock_sessions(array(
    select s.session_id from jsonb_to_recordset(formers) s (session_id uuid) where s.session_id in (select private.sessions_of_participant())
  ));
  with wanted as (
    select distinct on (f.session_id, f.epoch)
      f.session_id, f.epoch, f.device_id, f.organization_id, f.signature, f.wrap, f.by_device_id, f.given_at,
      r.signature as old_signature, w.wrap as old_wrap, r.by_device_id as old_by_device_id, r.created_at as old_given_at
    from jsonb_to_recordset(formers) s (session_id uuid, epoch int, signature text)
    join public.former_wraps f
      on f.session_id = s.session_id and f.epoch = s.epoch and f.device_id = restore_epochs.device_id and f.signature = s.signature
    join public.epoch_wraps w on w.session_id = f.session_id and w.epoch = f.epoch and w.device_id = f.device_id
    join public.epoch_readers r
      on r.session_id = f.session_id and r.epoch = f.epoch and r.device_id = f.device_id and r.reason = 'history' and r.ended_at is null
    where f.session_id in (select private.sessions_of_participant())
    order by f.session_id, f.epoch, f.signature
  ), taken as (
    delete from public.former_wraps f
    using wanted x
    where f.session_id = x.session_id and f.epoch = x.epoch and f.device_id = x.device_id and f.signature = x.signature
  ), kept as (
    insert into public.former_wraps (session_id, epoch, device_id, organization_id, by_device_id, signature, wrap, given_at)
    select x.session_id, x.epoch, x.device_id, x.organization_id, x.old_by_device_id, x.old_signature, x.old_wrap, x.old_given_at from wanted x
    on conflict do nothing
  ), wrapped as (
    update public.epoch_wraps w set wrap = x.wrap
    from wanted x
    where w.session_id = x.session_id and w.epoch = x.epoch and w.device_id = x.device_id
  )
  update public.epoch_readers r set
    by_device_id = x.by_device_id, signature = x.signature, wrap_hash = private.to_base64url(sha256(private.from_base64url(x.wrap))), created_at = x.given_at
  from wanted x
  where r.session_id = x.session_id and r.epoch = x.epoch and r.device_id = x.device_id;
  get diagnostics stored = row_count;
  return stored;
end
$$;

create or replace function public.restore_epochs(device_id uuid, formers jsonb)
returns int language sql set search_path = ''
as $$ select private.restore_epochs(device_id, formers) $$;

alter table public.former_wraps enable row level security;

revoke all on public.former_wraps from public, anon, authenticated, service_role, vigil;

grant select on public.former_wraps to authenticated;

revoke all on function private.restore_epochs(uuid, jsonb) from public;
revoke all on function public.restore_epochs(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.restore_epochs(uuid, jsonb) to authenticated;
grant execute on function public.restore_epochs(uuid, jsonb) to authenticated;
