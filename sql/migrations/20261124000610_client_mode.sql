-- Whoever withdraws their consent must not be silenced by it: a client may make the session strict, and go on unwatched. Never assisted: that
-- is led, and consented to.

create or replace function private.change_session_mode(session_id uuid, mode text)
returns public.sessions
language plpgsql security definer
set search_path = ''
as $$
declare
  s public.sessions;
begin
  if change_session_mode.mode = 'strict' and private.participation(change_session_mode.session_id) = 'client' then
    perform from public.session_counters c where c.session_id = change_session_mode.session_id for update;
    -- Again under the lock: whatever ends somebody's part in the session holds it.
    if private.participation(change_session_mode.session_id) is distinct from 'client' then
      raise exception using errcode = 'PT404', message = 'no such session';
    end if;
    select * into s from public.sessions x where x.id = change_session_mode.session_id;
  else
    s := private.led_session(change_session_mode.session_id);
  end if;
  update public.sessions x set mode = change_session_mode.mode where x.id = s.id returning * into s;
  return s;
end
$$;
