-- Devices (key pairs) and consents. Closed here; opened in 20260101002200_devices_policies.sql. Bytes are base64url text.

create table if not exists public.devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid default auth.uid() references auth.users (id),
  kind text not null default 'participant' check (kind in ('participant', 'analysis')),
  enc_pub text not null check (enc_pub ~ '^B[A-P][A-Za-z0-9_-]{85}$'),
  sig_pub text not null check (sig_pub ~ '^B[A-P][A-Za-z0-9_-]{85}$'),
  label text check (length(label) <= 100),
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  check ((kind = 'participant') = (user_id is not null))
);
comment on table public.devices is 'The public keys of a browser or app (kind participant) or of the sidecar (kind analysis). A participant''s is written by that person; the sidecar''s by private.register_analysis_device. Keys never change; a device is revoked, not deleted.';
comment on column public.devices.enc_pub is 'ECDH P-256, 65 bytes uncompressed.';
comment on column public.devices.sig_pub is 'ECDSA P-256, 65 bytes uncompressed.';
create index if not exists devices_user_id_idx on public.devices (user_id);

create table if not exists public.session_consents (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null,
  organization_id uuid not null,
  user_id uuid not null,
  device_id uuid not null references public.devices (id),
  scope text[] not null check (cardinality(scope) > 0 and scope <@ array['analysis', 'crisis_access', 'external_models']),
  text_hash text not null check (text_hash ~ '^[A-Za-z0-9_-]{43}$'),
  signature text not null check (signature ~ '^[A-Za-z0-9_-]{86}$'),
  given_at timestamptz not null default now(),
  withdrawn_at timestamptz,
  withdrawal_signature text check (withdrawal_signature ~ '^[A-Za-z0-9_-]{86}$'),
  foreign key (session_id, organization_id) references public.sessions (id, organization_id) on delete cascade
);
comment on table public.session_consents is 'A client''s signed consent to what the scope names, in one session. Written by that client; withdrawn by withdraw_consent.';
create unique index if not exists session_consents_session_id_id_key on public.session_consents (session_id, id);
alter table public.session_consents replica identity using index session_consents_session_id_id_key;

create or replace function private.guard_device()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.id, new.kind, new.enc_pub, new.sig_pub) <> (old.id, old.kind, old.enc_pub, old.sig_pub)
    or new.user_id is distinct from old.user_id
  then
    raise exception using errcode = 'VG015', message = 'a device keeps its keys and its owner', hint = 'revoke it and register a new one';
  end if;
  if old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at then
    raise exception using errcode = 'VG015', message = 'a revoked device stays revoked';
  end if;
  if old.revoked_at is null and new.revoked_at is not null then
    new.revoked_at := now();
  end if;
  return new;
end
$$;
revoke all on function private.guard_device() from public;

create or replace trigger a_device_keeps_its_keys
  before update on public.devices
  for each row execute function private.guard_device();

create or replace function private.admit_consent()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if private.participation(new.session_id) is distinct from 'client' then
    raise exception using errcode = '42501', message = 'only a client who takes part in the session may give consent';
  end if;
  perform from public.devices d
  where d.id = new.device_id and d.user_id = auth.uid() and d.revoked_at is null;
  if not found then
    raise exception using errcode = 'VG011', message = 'consent must be signed by an unrevoked device of the caller';
  end if;
  select s.organization_id into new.organization_id from public.sessions s where s.id = new.session_id;
  new.user_id := auth.uid();
  new.scope := array(select distinct unnest(new.scope) order by 1);
  new.given_at := now();
  new.withdrawn_at := null;
  new.withdrawal_signature := null;
  return new;
end
$$;
revoke all on function private.admit_consent() from public;

create or replace trigger a_consent_is_given_by_a_client
  before insert on public.session_consents
  for each row execute function private.admit_consent();

-- A consent is withdrawn once and otherwise stands as it was signed.
create or replace function private.guard_consent()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if to_jsonb(new) - array['withdrawn_at', 'withdrawal_signature'] <> to_jsonb(old) - array['withdrawn_at', 'withdrawal_signature'] then
    raise exception using errcode = 'VG015', message = 'a consent stands as it was signed', hint = 'withdraw it and give another';
  end if;
  if old.withdrawn_at is not null then
    raise exception using errcode = 'VG015', message = 'a withdrawn consent stays withdrawn';
  end if;
  if new.withdrawn_at is not null then
    new.withdrawn_at := now();
  end if;
  return new;
end
$$;
revoke all on function private.guard_consent() from public;

create or replace trigger a_consent_stands_as_it_was_signed
  before update on public.session_consents
  for each row execute function private.guard_consent();

alter table public.devices enable row level security;
alter table public.session_consents enable row level security;

revoke all on public.devices, public.session_consents from public, anon, authenticated, service_role, vigil;

grant select on public.devices, public.session_consents to authenticated;
grant insert (id, user_id, kind, enc_pub, sig_pub, label) on public.devices to authenticated;
grant update (label, revoked_at) on public.devices to authenticated;
grant insert (id, session_id, organization_id, user_id, device_id, scope, text_hash, signature) on public.session_consents to authenticated;

grant select on public.devices, public.session_consents to service_role;
grant update (revoked_at) on public.devices to service_role;

grant select (id, user_id, kind, enc_pub, sig_pub, created_at, revoked_at) on public.devices to vigil;
grant select on public.session_consents to vigil;
