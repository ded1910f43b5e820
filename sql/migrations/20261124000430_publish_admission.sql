-- Admissions, signatures of devices and readers beside the roster enter the sidecar's stream: devices and alerts anew, after what
-- 20260101004000_publications.sql and its followers list.

do $$
declare
  name text;
begin
  foreach name in array array['devices', 'alerts', 'device_signatures', 'epoch_readers'] loop
    if exists (
      select from pg_catalog.pg_publication_tables t where t.pubname = 'vigil_rows' and t.schemaname = 'public' and t.tablename = name
    ) then
      execute format('alter publication vigil_rows drop table public.%I', name);
    end if;
  end loop;
end
$$;

alter publication vigil_rows add table
  public.devices (
    id, user_id, kind, enc_pub, sig_pub, created_at, revoked_at, admitted_at, admitted_by, admission, retired_at
  ),
  public.alerts (
    id, organization_id, session_id, message_id, assessment_id, level, status, version, source, policy_version, ruleset_version,
    model_version, raised_at, updated_at, text_shared
  ),
  public.device_signatures (id, device_id, user_id, by_device_id, signature, created_at, refused_at, refusal),
  public.epoch_readers (
    session_id, epoch, device_id, user_id, organization_id, role, reason, alert_id, by_device_id, signature, created_at, ended_at
  );
