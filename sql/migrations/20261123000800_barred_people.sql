-- A person who was banned or deleted softly keeps the rows in auth.sessions, and a token until it expires. From here on such a login
-- stands no more: not for a policy, not for a channel, not for the sidecar's poll. A ban that is over gives it back.

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
    join auth.users u on u.id = l.user_id
    where l.id = (auth.jwt() ->> 'session_id')::uuid
      and l.user_id = auth.uid()
      and (l.not_after is null or l.not_after > now())
      and (u.banned_until is null or u.banned_until <= now())
      and u.deleted_at is null
  );
end
$$;
comment on function private.caller() is 'auth.uid(), if the login named by the token''s session_id still stands and its person is neither banned nor deleted; else null.';

create or replace function private.live_logins(logins uuid[])
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  select l.id
  from auth.sessions l
  join auth.users u on u.id = l.user_id
  where l.id = any (logins)
    and (l.not_after is null or l.not_after > now())
    and (u.banned_until is null or u.banned_until <= now())
    and u.deleted_at is null
$$;

-- Never in the way of a ban: an error here is logged and swallowed.
create or replace function private.record_barred_person()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.ended_logins as e (login_id, user_id, ended_at)
  select l.id, l.user_id, now()
  from auth.sessions l
  where l.user_id = new.id
  on conflict (login_id) do update set ended_at = excluded.ended_at;
  return null;
exception when others then
  raise log 'vigil: a ban was not recorded: %', sqlerrm;
  return null;
end
$$;
revoke all on function private.record_barred_person() from public;

do $$
begin
  create or replace trigger vigil_a_barred_person_is_recorded
    after update on auth.users
    for each row
    when (
      new.banned_until > now() and new.banned_until is distinct from old.banned_until
      or new.deleted_at is not null and old.deleted_at is null
    )
    execute function private.record_barred_person();
exception when insufficient_privilege then
  raise notice 'no trigger on auth.users here: the sidecar polls private.live_logins instead';
end
$$;

comment on table public.ended_logins is 'Logins (rows of auth.sessions) that were ended, or whose person was banned: both reach the sidecar by the log. Written by the triggers on auth.sessions and auth.users only.';
