-- The new columns of assessments and crisis_policies enter the sidecar's stream: both tables anew, after what 20260101004000_publications.sql
-- and 20261123000400_publish_suggestions.sql list.

do $$
declare
  name text;
begin
  foreach name in array array['assessments', 'crisis_policies'] loop
    if exists (
      select from pg_catalog.pg_publication_tables t where t.pubname = 'vigil_rows' and t.schemaname = 'public' and t.tablename = name
    ) then
      execute format('alter publication vigil_rows drop table public.%I', name);
    end if;
  end loop;
end
$$;

alter publication vigil_rows add table
  public.assessments (
    id, organization_id, session_id, message_id, position, source, status, reason, level, harm_others, abuse, distress, sentiment, topics,
    evidence, alert, escalate, model_version, ruleset_version, policy_version, superseded_at, created_at, items, risk_score,
    harm_others_score, abuse_score, distress_score, hard, emotions, language
  ),
  public.crisis_policies (
    organization_id, page_at_level, review_at_level, version, updated_at, page_categories, review_categories, page_least_self_harm,
    page_least_harm_others, page_least_abuse, page_least_distress, review_least_self_harm, review_least_harm_others, review_least_abuse,
    review_least_distress, quiet_rules, review_rules, terms_version
  );
