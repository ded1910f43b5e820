package app

import (
	"strings"

	"vigil/server/internal/replication"
)

// Publications is what enters the sidecar's stream, column by column: the same as the migrations of sql/ that publish, to
// which a test holds it. The reader refuses to start on any other.
func Publications() []replication.Publication {
	return []replication.Publication{
		{
			Name: "vigil_messages", Operations: []replication.Op{replication.Insert},
			Tables: []replication.Table{{
				Name: "messages", Filter: "assisted",
				Columns: columns("id session_id organization_id sender_id sender_device_id epoch seq position previous_assisted_position assisted body created_at"),
			}},
		},
		{Name: "vigil_rows", Tables: rowTables()},
	}
}

func columns(names string) []string { return strings.Fields(names) }

func rowTables() []replication.Table {
	tables := []struct{ name, columns string }{
		{"organizations", "id suggestions require_aal2 created_at"},
		{"memberships", "organization_id user_id role started_at ended_at"},
		{"crisis_policies", "organization_id page_at_level review_at_level version updated_at page_categories review_categories page_least_self_harm page_least_harm_others page_least_abuse page_least_distress review_least_self_harm review_least_harm_others review_least_abuse review_least_distress quiet_rules review_rules terms_version"},
		{"sessions", "id organization_id mode status min_epoch scheduled_for started_at ended_at created_by created_at"},
		{"session_participants", "session_id user_id organization_id role joined_at ended_at"},
		{"session_consents", "id session_id organization_id user_id device_id scope text_hash signature given_at withdrawn_at withdrawal_signature"},
		{"devices", "id user_id kind enc_pub sig_pub created_at revoked_at admitted_at admitted_by admission retired_at"},
		{"device_signatures", "id device_id user_id by_device_id signature created_at refused_at refusal"},
		{"session_epochs", "session_id epoch organization_id device_id roster roster_hash key_commit consent_id signature suite assisted created_at"},
		{"epoch_readers", "session_id epoch device_id user_id organization_id role reason alert_id by_device_id signature created_at ended_at"},
		{"message_arrivals", "message_id session_id organization_id position sender_id sender_device_id epoch seq created_at"},
		{"assessments", "id organization_id session_id message_id position source status reason level harm_others abuse distress sentiment topics evidence alert escalate model_version ruleset_version policy_version superseded_at created_at items risk_score harm_others_score abuse_score distress_score hard emotions language"},
		{"alerts", "id organization_id session_id message_id assessment_id level status version source policy_version ruleset_version model_version raised_at updated_at text_shared"},
		{"alert_recipients", "alert_id user_id organization_id session_id reason created_at ended_at"},
		{"alert_events", "id alert_id organization_id session_id kind actor_id version created_at"},
		{"oncall_shifts", "organization_id user_id starts_at ends_at flagged_at"},
		{"suggestions", "id organization_id session_id message_id requested_by status reason source move bank_version model sent_message_id decided_by decided_at version created_at updated_at"},
		{"suggestion_seals", "suggestion_id device_id user_id organization_id session_id message_id sealed signature created_at"},
		{"message_scores", "message_id side session_id organization_id position epoch device_id user_id after_position level harm_others abuse distress alert escalate hard items scores rules model_version ruleset_version signature disagrees created_at"},
		{"erasures", "id organization_id kind session_id person_id part_of requested_by status counts objects_left audit_seq audit_hash created_at shredded_at done_at"},
		{"ended_logins", "login_id user_id ended_at"},
	}
	published := make([]replication.Table, 0, len(tables))
	for _, t := range tables {
		published = append(published, replication.Table{Name: t.name, Columns: columns(t.columns)})
	}
	return published
}
