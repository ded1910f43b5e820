package store

import (
	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

// assessmentRow is one element of insertAssessments' argument.
type assessmentRow struct {
	ID             uuid.UUID         `json:"id"`
	OrganizationID uuid.UUID         `json:"organization_id"`
	SessionID      uuid.UUID         `json:"session_id"`
	MessageID      uuid.UUID         `json:"message_id"`
	Position       int64             `json:"position"`
	Source         triage.Source     `json:"source"`
	Status         string            `json:"status"`
	Reason         *triage.Reason    `json:"reason"`
	Level          *triage.Level     `json:"level"`
	HarmOthers     *bool             `json:"harm_others"`
	Abuse          *bool             `json:"abuse"`
	Distress       *bool             `json:"distress"`
	Sentiment      *float32          `json:"sentiment"`
	Topics         []string          `json:"topics"`
	Evidence       []triage.Evidence `json:"evidence"`
	Alert          bool              `json:"alert"`
	Escalate       bool              `json:"escalate"`
	ModelVersion   *string           `json:"model_version"`
	RulesetVersion *string           `json:"ruleset_version"`
	PolicyVersion  int32             `json:"policy_version"`

	Items           []string `json:"items"`
	RiskScore       *float32 `json:"risk_score"`
	HarmOthersScore *float32 `json:"harm_others_score"`
	AbuseScore      *float32 `json:"abuse_score"`
	DistressScore   *float32 `json:"distress_score"`
	Hard            []string `json:"hard"`
	Emotions        []string `json:"emotions"`
	Language        *string  `json:"language"`
}

func newAssessment(id uuid.UUID, o *triage.Outcome) assessmentRow {
	a := &o.Assessment
	row := assessmentRow{
		ID: id, OrganizationID: o.Message.OrganizationID, SessionID: o.Message.SessionID, MessageID: o.Message.ID,
		Position: o.Message.Position, Source: o.Assessor(), PolicyVersion: o.Policy.Version,
	}
	if o.Reason != "" { // nothing is known: null, which is not zero
		row.Status, row.Reason, row.Alert, row.Escalate = "not_assessed", &o.Reason, true, true
		return row
	}
	row.Status = "assessed"
	row.Level, row.HarmOthers, row.Abuse, row.Distress, row.Sentiment = &a.Level, &a.HarmOthers, &a.Abuse, &a.Distress, &a.Sentiment
	row.Topics, row.Evidence, row.Alert, row.Escalate = a.Topics, a.Evidence, a.Alert, a.Escalate
	row.ModelVersion, row.RulesetVersion = &a.ModelVersion, &a.RulesetVersion
	row.RiskScore, row.HarmOthersScore, row.AbuseScore, row.DistressScore = &a.Scores.Risk, &a.Scores.HarmOthers, &a.Scores.Abuse, &a.Scores.Distress
	row.Items, row.Hard, row.Emotions = newItems(a.Items), a.Hard.Names(), a.Emotions
	if a.Language != "" {
		row.Language = &a.Language
	}
	return row
}

// newItems names items. One that is none of them is refused by the database.
func newItems(items triage.Items) []string {
	names := make([]string, len(items))
	for i, item := range items {
		names[i] = item.Name()
	}
	return names
}
