-- What enters the sidecar's stream: columns that are needed, and no others. Two publications, for a row filter together with deletes
-- in one would make every delete of a message fail. Strict messages are filtered out; names, wraps, counters and progress never enter.

do $$
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'vigil_messages') then
    create publication vigil_messages with (publish = 'insert');
  end if;
  if not exists (select from pg_catalog.pg_publication where pubname = 'vigil_rows') then
    create publication vigil_rows with (publish = 'insert, update, delete, truncate');
  end if;
end
$$;

alter publication vigil_messages set table
  public.messages (
    id, session_id, organization_id, sender_id, sender_device_id, epoch, seq, position, previous_assisted_position, assisted, body, created_at
  ) where (assisted);

alter publication vigil_rows set table
  public.organizations (id, suggestions, require_aal2, created_at),
  public.memberships (organization_id, user_id, role, started_at, ended_at),
  public.crisis_policies (organization_id, page_at_level, review_at_level, version, updated_at),
  public.sessions (id, organization_id, mode, status, min_epoch, scheduled_for, started_at, ended_at, created_by, created_at),
  public.session_participants (session_id, user_id, organization_id, role, joined_at, ended_at),
  public.session_consents (
    id, session_id, organization_id, user_id, device_id, scope, text_hash, signature, given_at, withdrawn_at, withdrawal_signature
  ),
  public.devices (id, user_id, kind, enc_pub, sig_pub, created_at, revoked_at),
  public.session_epochs (
    session_id, epoch, organization_id, device_id, roster, roster_hash, key_commit, consent_id, signature, suite, assisted, created_at
  ),
  public.message_arrivals (message_id, session_id, organization_id, position, sender_id, sender_device_id, epoch, seq, created_at),
  public.assessments (
    id, organization_id, session_id, message_id, position, source, status, reason, level, harm_others, abuse, distress, sentiment, topics,
    evidence, alert, escalate, model_version, ruleset_version, policy_version, superseded_at, created_at
  ),
  public.alerts (
    id, organization_id, session_id, message_id, assessment_id, level, status, version, source, policy_version, ruleset_version,
    model_version, raised_at, updated_at
  ),
  public.alert_recipients (alert_id, user_id, organization_id, session_id, reason, created_at, ended_at),
  public.alert_events (id, alert_id, organization_id, session_id, kind, actor_id, version, created_at),
  public.oncall_shifts (organization_id, user_id, starts_at, ends_at, flagged_at),
  public.ended_logins (login_id, user_id, ended_at);
