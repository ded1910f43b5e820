-- What a clinician does about an alert. `version` is the version that they saw: if someone was first, PT409 and nothing changes.

create or replace function private.step_alert(alert uuid, seen_version int, kind text)
returns public.alerts
language plpgsql security definer
set search_path = ''
as $$
declare
  a public.alerts;
begin
  select * into a from public.alerts x where x.id = alert for update;
  if a.id is null or a.session_id not in (select private.sessions_of_clinician()) then
    raise exception using errcode = 'PT404', message = 'no such alert';
  end if;
  insert into public.alert_events (alert_id, organization_id, session_id, kind, actor_id, version)
  values (a.id, a.organization_id, a.session_id, step_alert.kind, auth.uid(), seen_version + 1);
  select * into a from public.alerts x where x.id = alert;
  return a;
end
$$;
revoke all on function private.step_alert(uuid, int, text) from public;

create or replace function private.acknowledge_alert(alert_id uuid, version int)
returns public.alerts language sql security definer set search_path = ''
as $$ select * from private.step_alert(alert_id, version, 'acknowledged') $$;

create or replace function private.resolve_alert(alert_id uuid, version int)
returns public.alerts language sql security definer set search_path = ''
as $$ select * from private.step_alert(alert_id, version, 'resolved') $$;

create or replace function public.acknowledge_alert(alert_id uuid, version int)
returns public.alerts language sql set search_path = ''
as $$ select * from private.acknowledge_alert(alert_id, version) $$;

create or replace function public.resolve_alert(alert_id uuid, version int)
returns public.alerts language sql set search_path = ''
as $$ select * from private.resolve_alert(alert_id, version) $$;

revoke all on function private.acknowledge_alert(uuid, int) from public;
revoke all on function private.resolve_alert(uuid, int) from public;
revoke all on function public.acknowledge_alert(uuid, int) from public, anon, authenticated, service_role;
revoke all on function public.resolve_alert(uuid, int) from public, anon, authenticated, service_role;

grant execute on function private.acknowledge_alert(uuid, int) to authenticated;
grant execute on function private.resolve_alert(uuid, int) to authenticated;
grant execute on function public.acknowledge_alert(uuid, int) to authenticated;
grant execute on function public.resolve_alert(uuid, int) to authenticated;
