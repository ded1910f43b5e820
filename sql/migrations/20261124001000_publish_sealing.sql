-- Scores and erasures enter the sidecar's stream, after what 20261124000430_publish_admission.sql lists. Who took part in what was erased does not.

do $$
declare
  name text;
begin
  foreach name in array array['message_scores', 'erasures'] loop
    if exists (
      select from pg_catalog.pg_publication_tables t where t.pubname = 'vigil_rows' and t.schemaname = 'public' and t.tablename = name
    ) then
      execute format('alter publication vigil_rows drop table public.%I', name);
    end if;
  end loop;
end
$$;

alter publication vigil_rows add table
  public.message_scores (
    message_id, side, session_id, organization_id, position, epoch, device_id, user_id, after_position, level, harm_others, abuse, distress,
    alert, escalate, hard, items, scores, rules, model_version, ruleset_version, signature, disagrees, created_at
  ),
  public.erasures (
    id, organization_id, kind, session_id, person_id, part_of, requested_by, status, counts, objects_left, audit_seq, audit_hash, created_at,
    shredded_at, done_at
  );
