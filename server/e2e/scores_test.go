package e2e_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/assess"
	"vigil/server/internal/envelope"
	"vigil/server/internal/triage"
)

// scoreOf is what a device sends of what its detector found: numbers and rule ids.
func scoreOf(a triage.Assessment, after int64) envelope.Score {
	c := envelope.Score{After: after, Level: byte(a.Level), Hard: byte(a.Hard), Model: a.ModelVersion, Ruleset: a.RulesetVersion}
	for bit, set := range []bool{a.HarmOthers, a.Abuse, a.Distress, a.Alert, a.Escalate} {
		if set {
			c.Flags |= 1 << bit
		}
	}
	for i, item := range a.Items {
		c.Items[i] = byte(item)
	}
	for i, p := range []float32{a.Scores.Risk, a.Scores.HarmOthers, a.Scores.Abuse, a.Scores.Distress} {
		c.Scores[i] = uint32(math.Round(float64(p) * envelope.ScoreUnit))
	}
	for _, e := range a.Evidence {
		if !e.IsTopic() && !slices.Contains(c.Rules, e.Rule) {
			c.Rules = append(c.Rules, e.Rule)
		}
	}
	return c
}

// score signs what a device of p found in a message of theirs, and stores it; forge, unless nil, has it before it is stored.
func (y *therapy) score(t testing.TB, p *person, message uuid.UUID, side byte, c envelope.Score, forge func(*envelope.Score)) {
	t.Helper()
	c.Session, c.Message, c.Epoch, c.Side = y.id, message, y.epoch.Number, side
	c, err := envelope.SignScore(p.device, c)
	if err != nil {
		t.Fatal(err)
	}
	if forge != nil {
		forge(&c)
	}
	items, scores := make([]string, len(c.Items)), make([]int32, len(c.Scores))
	for i, item := range c.Items {
		items[i] = triage.Item(item).Name()
	}
	for i, n := range c.Scores {
		scores[i] = int32(n)
	}
	flag := func(bit byte) bool { return c.Flags&bit != 0 }
	y.s.as(t, p, `insert into public.message_scores (message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate,
		  hard, items, scores, rules, model_version, ruleset_version, signature)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		message, map[byte]string{envelope.SideSender: "sender", envelope.SideClinician: "clinician"}[side], c.Device, c.After, int16(c.Level),
		flag(envelope.FlagHarmOthers), flag(envelope.FlagAbuse), flag(envelope.FlagDistress), flag(envelope.FlagAlert), flag(envelope.FlagEscalate),
		triage.Categories(c.Hard).Names(), items, scores, append([]string{}, c.Rules...), c.Model, c.Ruleset, c.Signature)
}

// scoredTexts are said in both sessions: of each kind that a policy tells apart.
var scoredTexts = []string{
	ordinaryText, crisisText,
	"I wish I could fall asleep and never wake up.",
	"I have been thinking about killing myself.",
	"I thought about taking an overdose of my tablets.",
	"I am going to kill him when he comes home tonight, I have a knife.",
	"My husband hit me again last night and locked me in.",
	"I cannot breathe, I am panicking and everything is falling apart.",
	"Everybody would be better off without me.",
	"See you on Thursday, and thank you for the exercise.",
}

// scoredPolicies are five ways to decide what of it pages somebody.
var scoredPolicies = []string{
	"page_at_level = 4, review_at_level = 1",
	"page_at_level = 2, review_at_level = 1",
	"page_at_level = 6, review_at_level = 5",
	"page_at_level = 4, review_at_level = 3, page_categories = '{self_harm,harm_others,abuse,distress}', page_least_harm_others = 0.5",
	"page_at_level = 1, review_at_level = 1, page_categories = '{self_harm}', quiet_rules = '{wish.burden,wish.sleep}', page_least_self_harm = 0.3",
}

// scoreVerdict is what the tables say of a message, whoever assessed it.
type scoreVerdict struct {
	Level      int16
	Alert      bool
	Escalate   bool
	AlertLevel *int16
	Alerts     int64
}

// scoreVerdictOf waits until a message was assessed by that source.
func (y *therapy) scoreVerdictOf(t testing.TB, message uuid.UUID, source string) (v scoreVerdict) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		err := y.s.admin.QueryRow(ctx, `select a.level, a.alert, a.escalate, (select max(x.level) from public.alerts x where x.message_id = a.message_id),
			  (select count(*) from public.alerts x where x.message_id = a.message_id)
			from public.assessments a where a.message_id = $1 and a.source = $2`, message, source).Scan(&v.Level, &v.Alert, &v.Escalate, &v.AlertLevel, &v.Alerts)
		return err == nil, ignoreNone(err)
	}); err != nil {
		t.Fatalf("the message has no assessment by the %s: %v\n%s", source, err, y.s.sidecar.out.tail())
	}
	return v
}

// TestScoresBecomeAlertsByTheSamePolicies: what is said raises the same alerts whether the sidecar reads it or the devices do, under
// whatever policy; and the second of two devices raises none that the first did.
func TestScoresBecomeAlertsByTheSamePolicies(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	read := s.therapy(t, org)
	kept := s.strictTherapy(t, org, s.signUp(t, org, "client"), s.signUp(t, org, "therapist"))
	detector, defaults := assess.New(), triage.DefaultCrisisPolicy(uuid.Nil)
	var state triage.State
	after, paged, quiet := int64(0), 0, 0
	for _, policy := range scoredPolicies {
		s.sql(t, "update public.crisis_policies set page_categories = default, page_least_harm_others = default, quiet_rules = default, page_least_self_harm = default where organization_id = $1", org)
		s.sql(t, "update public.crisis_policies set "+policy+" where organization_id = $1", org)
		var assisted, strict []uuid.UUID
		for _, text := range scoredTexts {
			assisted, strict = append(assisted, read.send(t, text)), append(strict, kept.send(t, text))
			var a triage.Assessment
			a, state = detector.Assess(text, state, defaults) // a device knows no policy
			score := scoreOf(a, after)
			after++
			kept.score(t, kept.client, strict[len(strict)-1], envelope.SideSender, score, nil)
			kept.score(t, kept.therapist, strict[len(strict)-1], envelope.SideClinician, score, nil)
		}
		for i, text := range scoredTexts {
			want, sender, clinician := read.scoreVerdictOf(t, assisted[i], "sidecar"), kept.scoreVerdictOf(t, strict[i], "sender"), kept.scoreVerdictOf(t, strict[i], "clinician")
			if sender.Level != want.Level || sender.Alert != want.Alert || clinician.Alert != want.Alert || clinician.Alerts != want.Alerts || want.Escalate && !sender.Escalate {
				t.Errorf("under %q %q is %+v to the sidecar, %+v and %+v to the devices", policy, text, want, sender, clinician)
			}
			if want.Alerts > 0 {
				paged++
			} else {
				quiet++
			}
		}
	}
	if paged < 2*len(scoredPolicies) || quiet < 2*len(scoredPolicies) {
		t.Errorf("%d alerts and %d messages without one: the texts prove nothing", paged, quiet)
	}
	var unsettled int
	if err := s.admin.QueryRow(t.Context(), "select count(*) from private.unassessed_scores").Scan(&unsettled); err != nil || unsettled != 0 {
		t.Errorf("%d scores are not judged, %v", unsettled, err)
	}
}

// TestForgedScoreIsRefused: what a device did not sign is recorded as not assessed, a clinician is told, and the other device's
// finding counts.
func TestForgedScoreIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.strictTherapy(t, org, s.signUp(t, org, "client"), s.signUp(t, org, "therapist"))
	grave, _ := assess.New().Assess(crisisText, triage.State{}, triage.DefaultCrisisPolicy(org))
	message := y.send(t, crisisText)
	y.score(t, y.client, message, envelope.SideSender, scoreOf(grave, 0), func(c *envelope.Score) { c.Level, c.Rules = 0, nil })
	if o := s.outcomeOf(t, message); o.status != "not_assessed" || o.reason != "score" || o.alerts != 1 || o.told < 1 {
		t.Errorf("a score that was changed after it was signed: %+v", o)
	}
	y.score(t, y.therapist, message, envelope.SideClinician, scoreOf(grave, 0), nil)
	if v := y.scoreVerdictOf(t, message, "clinician"); !v.Alert || v.AlertLevel == nil || *v.AlertLevel != int16(grave.Level) {
		t.Errorf("the therapist's finding after it: %+v", v)
	}
	// Nor does it take the place of the one that the device did sign.
	y.score(t, y.client, message, envelope.SideSender, scoreOf(grave, 0), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		var counts, refused int
		err := s.admin.QueryRow(ctx, `select (select count(*) from public.assessments a where a.message_id = $1 and a.source = 'sender' and a.status = 'assessed'
			  and a.superseded_at is null), (select count(*) from public.audit_log l where l.action = 'refuse' and l.actor_kind = 'sidecar' and l.subject_id = $1 || '/sender')`,
			message).Scan(&counts, &refused)
		return counts == 1 && refused == 1, err
	}); err != nil {
		t.Errorf("the true score beside the forged one: %v", err)
	}
	s.awaitMetric(t, `vigil_scores_total{outcome="score",side="sender"}`, func(n float64) bool { return n == 1 })
	// The database itself refuses what is none of the caller's to say.
	second := y.send(t, crisisText)
	if err := s.asPerson(t.Context(), y.therapist, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `insert into public.message_scores (message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate,
			  hard, items, scores, rules, model_version, ruleset_version, signature)
			select $1, 'sender', device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items, scores, rules, model_version, ruleset_version, signature
			from public.message_scores where message_id = $2 and side = 'clinician'`, second, message)
		return err
	}); !isState(err, "42501") {
		t.Errorf("a therapist may speak for the sender: %v", err)
	}
}
