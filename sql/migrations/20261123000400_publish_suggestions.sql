-- Suggestions and their seals enter the sidecar's stream, after what 20260101004000_publications.sql lists.

do $$
declare
  name text;
begin
  foreach name in array array['suggestions', 'suggestion_seals'] loop
    if exists (
      select from pg_catalog.pg_publication_tables t where t.pubname = 'vigil_rows' and t.schemaname = 'public' and t.tablename = name
    ) then
      execute format('alter publication vigil_rows drop table public.%I', name);
    end if;
  end loop;
end
$$;

alter publication vigil_rows add table
  public.suggestions (
    id, organization_id, session_id, message_id, requested_by, status, reason, source, move, bank_version, model, sent_message_id,
    decided_by, decided_at, version, created_at, updated_at
  ),
  public.suggestion_seals (suggestion_id, device_id, user_id, organization_id, session_id, message_id, sealed, signature, created_at);
