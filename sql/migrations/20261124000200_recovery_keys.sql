-- A person's recovery key, sealed under a passphrase that nobody else knows. The key is a device of kind recovery, on every roster of that
-- person's sessions, so that each epoch can be recovered from its first message on. Opened in 20261124000201_recovery_keys_policies.sql.

create table if not exists public.recovery_keys (
  user_id uuid not null references auth.users (id) on delete cascade,
  version int not null check (version >= 1),
  device_id uuid not null references public.devices (id) on delete cascade,
  kdf text not null default 'argon2id' check (kdf = 'argon2id'),
  memory_kib int not null check (memory_kib between 65536 and 1048576),
  passes int not null check (passes between 3 and 10),
  lanes int not null check (lanes between 1 and 4),
  salt text not null check (salt ~ '^[A-Za-z0-9_-]{22}$'),
  wrapped text not null check (wrapped ~ '^[A-Za-z0-9_-]{166}$'),
  age_recipient text not null check (age_recipient ~ '^age1[0-9a-z]{58}$'),
  created_at timestamptz not null default now(),
  primary key (user_id, version)
);
comment on table public.recovery_keys is 'The private halves of a recovery key, sealed under Argon2id over a passphrase; a new version for each passphrase. Written by set_recovery and rewrap_recovery, for that person only. Append-only; old versions go when the passphrase is changed, or when newer ones have stood for a month. Never published, never read by the sidecar.';
comment on column public.recovery_keys.wrapped is 'nonce12 ‖ AES-256-GCM(enc32 ‖ sig32 ‖ age32) ‖ tag16.';
comment on column public.recovery_keys.age_recipient is 'The age recipient of the key, unsigned: clients derive it from the key that the passphrase opens, and seal to no other.';
create index if not exists recovery_keys_device_id_idx on public.recovery_keys (device_id);

create or replace trigger a_recovery_key_stands
  before update on public.recovery_keys
  for each row execute function private.refuse_change('a new passphrase is a new version');

create or replace trigger written_in_the_audit_log after insert on public.recovery_keys
  referencing new table as changed
  for each statement execute function private.audit_device();

-- The newest version of each person that was written right after signing in.
create table if not exists private.fresh_recovery_keys (
  user_id uuid primary key,
  version int not null,
  foreign key (user_id, version) references public.recovery_keys (user_id, version) on delete cascade
);
comment on table private.fresh_recovery_keys is 'Which version of a recovery key no newer one pushes out, but one that is written right after signing in. Written by set_recovery and rewrap_recovery.';
alter table private.fresh_recovery_keys enable row level security;
revoke all on private.fresh_recovery_keys from public, anon, authenticated, service_role, vigil;

-- The next version, and no other: two tabs do not overwrite one another. Whoever stole a token cannot push the true versions out by writing
-- many: they stay for a month, a day takes ten, and the newest that was written right after signing in stays whatever comes.
create or replace function private.add_recovery_key(device uuid, key jsonb)
returns int
language plpgsql security definer
set search_path = ''
as $$
declare
  most_a_day constant int := 10;
  versions_kept constant int := 5;
  kept_for constant interval := interval '30 days';
  me constant uuid := private.caller();
  given public.recovery_keys := jsonb_populate_record(null::public.recovery_keys, key);
  newest int;
begin
  select coalesce(max(k.version), 0) into newest from public.recovery_keys k where k.user_id = me;
  if given.version is distinct from newest + 1 then
    raise exception using errcode = 'PT409', message = format('the next version is %s', newest + 1),
      detail = jsonb_build_object('version', newest)::text, hint = 'read recovery_keys again';
  end if;
  if (select count(*) from public.recovery_keys k where k.user_id = me and k.created_at > now() - interval '1 day') >= most_a_day then
    raise exception using errcode = '23514', message = format('a recovery key has at most %s new versions a day', most_a_day);
  end if;
  insert into public.recovery_keys (user_id, version, device_id, memory_kib, passes, lanes, salt, wrapped, age_recipient)
  values (me, given.version, device, given.memory_kib, given.passes, given.lanes, given.salt, given.wrapped, given.age_recipient);
  if private.login_is_fresh(me) then
    insert into private.fresh_recovery_keys (user_id, version) values (me, given.version)
    on conflict (user_id) do update set version = excluded.version;
  end if;
  delete from public.recovery_keys k
  where k.user_id = me
    and k.version <= given.version - versions_kept
    and not exists (select from private.fresh_recovery_keys f where f.user_id = me and f.version = k.version)
    and exists (
      select from public.recovery_keys n
      where n.user_id = me and n.version > k.version and n.created_at < now() - kept_for
    );
  return given.version;
end
$$;
revoke all on function private.add_recovery_key(uuid, jsonb) from public;

-- device: {id, enc_pub, sig_pub}; signature: {by_device_id, signature}; key: {version, memory_kib, passes, lanes, salt, wrapped, age_recipient}.
-- The device waits to be admitted like any other; until it is, the former recovery key stands.
create or replace function private.set_recovery(device jsonb, signature jsonb, key jsonb)
returns public.devices
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
  d public.devices;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may set a recovery key';
  end if;
  perform private.lock_devices_of(me);
  insert into public.devices (id, user_id, kind, enc_pub, sig_pub)
  values ((device ->> 'id')::uuid, me, 'recovery', device ->> 'enc_pub', device ->> 'sig_pub')
  returning * into d;
  insert into public.device_signatures (device_id, user_id, by_device_id, signature)
  values (d.id, me, (set_recovery.signature ->> 'by_device_id')::uuid, set_recovery.signature ->> 'signature');
  perform private.add_recovery_key(d.id, key);
  return d;
end
$$;

create or replace function private.recovery_device_of(person uuid)
returns uuid
language sql stable security definer
set search_path = ''
as $$
  select d.id from public.devices d
  where d.user_id = person and d.kind = 'recovery' and d.admitted_at is not null and d.revoked_at is null
  order by d.admitted_at desc, d.id
  limit 1
$$;
revoke all on function private.recovery_device_of(uuid) from public;

-- The same key under another passphrase, right after signing in: the former versions go, and with them the passphrases that opened them. Gives
-- its version.
create or replace function private.rewrap_recovery(key jsonb)
returns int
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
  device uuid;
  added int;
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may change their recovery key';
  end if;
  perform private.lock_devices_of(me);
  perform private.require_fresh_login(me);
  device := private.recovery_device_of(me);
  if device is null then
    raise exception using errcode = 'PT404', message = 'there is no recovery key', hint = 'set one';
  end if;
  added := private.add_recovery_key(device, key);
  delete from public.recovery_keys k where k.user_id = me and k.device_id = device and k.version < added;
  return added;
end
$$;

-- Revokes the recovery key, and deletes every version of it: what only it could open is lost.
create or replace function private.remove_recovery()
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  me constant uuid := private.caller();
begin
  if me is null then
    raise exception using errcode = '42501', message = 'only somebody signed in may remove their recovery key';
  end if;
  perform private.lock_devices_of(me);
  perform private.require_fresh_login(me);
  delete from public.recovery_keys k where k.user_id = me;
  update public.devices d set revoked_at = now() where d.user_id = me and d.kind = 'recovery' and d.revoked_at is null;
end
$$;

create or replace function public.set_recovery(device jsonb, signature jsonb, key jsonb)
returns public.devices language sql set search_path = ''
as $$ select * from private.set_recovery(device, signature, key) $$;

create or replace function public.rewrap_recovery(key jsonb)
returns int language sql set search_path = ''
as $$ select private.rewrap_recovery(key) $$;

create or replace function public.remove_recovery()
returns void language sql set search_path = ''
as $$ select private.remove_recovery() $$;

alter table public.recovery_keys enable row level security;

revoke all on public.recovery_keys from public, anon, authenticated, service_role, vigil;

grant select on public.recovery_keys to authenticated;

revoke all on function private.set_recovery(jsonb, jsonb, jsonb) from public;
revoke all on function private.rewrap_recovery(jsonb) from public;
revoke all on function private.remove_recovery() from public;
revoke all on function public.set_recovery(jsonb, jsonb, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.rewrap_recovery(jsonb) from public, anon, authenticated, service_role;
revoke all on function public.remove_recovery() from public, anon, authenticated, service_role;

grant execute on function private.set_recovery(jsonb, jsonb, jsonb) to authenticated;
grant execute on function private.rewrap_recovery(jsonb) to authenticated;
grant execute on function private.remove_recovery() to authenticated;
grant execute on function public.set_recovery(jsonb, jsonb, jsonb) to authenticated;
grant execute on function public.rewrap_recovery(jsonb) to authenticated;
grant execute on function public.remove_recovery() to authenticated;
