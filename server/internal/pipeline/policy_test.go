package pipeline_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/pipeline"
	"vigil/server/internal/replication"
	"vigil/server/internal/triage"
)

var policyColumns = []string{
	"organization_id", "page_at_level", "review_at_level", "version", "page_categories", "review_categories", "page_least_self_harm",
	"page_least_harm_others", "page_least_abuse", "page_least_distress", "review_least_self_harm", "review_least_harm_others",
	"review_least_abuse", "review_least_distress", "quiet_rules", "review_rules", "terms_version",
}

// policyRow is a change of an organisation's policy as the log shows it: the default but for what is set.
func policyRow(op replication.Op, organization uuid.UUID, set map[string]string) replication.Change {
	row := map[string]string{
		"organization_id": organization.String(), "page_at_level": "4", "review_at_level": "1", "version": "1", "terms_version": "0",
		"page_categories": "{self_harm,harm_others}", "review_categories": "{self_harm,harm_others,abuse,distress}",
		"quiet_rules": "{}", "review_rules": "{}",
	}
	texts := make([]string, len(policyColumns))
	for i, column := range policyColumns {
		texts[i] = "0"
		if text, ok := row[column]; ok {
			texts[i] = text
		}
		if text, ok := set[column]; ok {
			texts[i] = text
		}
	}
	return replication.Change{Op: op, Relation: relation("crisis_policies", policyColumns...), New: values(texts...)}
}

// scripted is a detector that finds what a text names, counts what its session has said, and sees whose terms it was given.
type scripted struct{ found map[string]triage.Assessment }

// knownTerms are terms that say what they were compiled from.
type knownTerms []triage.TopicTerm

func (k knownTerms) Len() int { return len(k) }

func (d scripted) Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State) {
	a := d.found[text]
	terms, _ := policy.Terms.(knownTerms)
	for _, t := range terms {
		a.Topics = append(slices.Clone(a.Topics), t.Topic)
	}
	count := byte(0)
	if state.Version == scriptedState && len(state.Data) == 1 {
		count = state.Data[0]
	}
	return policy.Decide(a), triage.State{Version: scriptedState, Data: []byte{count + 1}}
}

const scriptedState = 7

// scripts sets c's detector.
func (d scripted) scripts(c pipeline.Config) pipeline.Config {
	c.Assessor, c.StateVersion = d, scriptedState
	c.CompileTerms = func(terms []triage.TopicTerm) triage.Terms { return knownTerms(terms) }
	return c
}

func TestEveryPartOfAPolicyHoldsFromTheLogOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	detector := scripted{map[string]triage.Assessment{
		"abuse":    {Abuse: true, Scores: triage.Scores{Abuse: .6}},
		"sure":     {Abuse: true, Scores: triage.Scores{Abuse: .8}},
		"song":     {Level: 4, Evidence: []triage.Evidence{{Rule: "intent.song", End: 1, UTF16End: 1}}},
		"distress": {Distress: true, Scores: triage.Scores{Distress: .2}},
		"listed":   {Evidence: []triage.Evidence{{Rule: "null", End: 1, UTF16End: 1}}},
	}}
	p, stop := run(t, detector.scripts(b.patient()))
	for _, text := range []string{"abuse", "song", "distress", "listed"} {
		b.log.append(b.shown(t, s.Send(t, text))...)
	}
	b.awaitAssessed(t)
	b.log.append(b.entry(t, 100, policyRow(replication.Update, b.Organization, map[string]string{
		"version": "2", "page_categories": "{self_harm,abuse}", "page_least_abuse": "0.7", "review_least_distress": "0.25",
		"quiet_rules": "{idiom.film,intent.song}", "review_rules": `{"null"}`,
	})))
	for _, text := range []string{"abuse", "sure", "song", "distress", "listed"} {
		b.log.append(b.shown(t, s.Send(t, text))...)
	}
	b.awaitAssessed(t)
	stop()
	rows, err := b.Superuser.Query(t.Context(), `select policy_version || case when alert then ' paged' when escalate then ' reviewed' else ' nobody' end
		from public.assessments order by position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		got = append(got, text)
	}
	want := []string{
		"1 reviewed", "1 paged", "1 reviewed", "1 nobody",
		"2 reviewed", "2 paged", "2 reviewed", "2 nobody", "2 reviewed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("assessments %q, want %q", got, want)
	}
	if faults := p.Stats().Faults; faults != 0 {
		t.Errorf("%d rows of the log could not be read", faults)
	}
}

func TestNewTopicTermsHoldForTheNextMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	_, stop := run(t, scripted{}.scripts(b.patient()))
	b.log.append(b.shown(t, s.Send(t, "before"))...)
	b.awaitAssessed(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := b.Superuser.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`insert into public.topic_terms (organization_id, topic, term) select organization_id, 'nights', 'rota' from public.crisis_policies`)
	b.log.append(b.entry(t, 100, policyRow(replication.Update, b.Organization, map[string]string{"version": "2", "terms_version": "2"})))
	b.log.append(b.shown(t, s.Send(t, "with terms"))...)
	b.awaitAssessed(t)
	// A change of something else keeps them; they are not on the log.
	b.log.append(b.entry(t, 100, policyRow(replication.Update, b.Organization, map[string]string{"version": "3", "terms_version": "2"})))
	b.log.append(b.shown(t, s.Send(t, "still with terms"))...)
	b.awaitAssessed(t)
	exec(`update public.crisis_policies set page_at_level = 5`)
	exec(`delete from public.topic_terms`)
	b.log.append(b.entry(t, 100, policyRow(replication.Update, b.Organization, map[string]string{"version": "4", "terms_version": "4"})))
	b.log.append(b.shown(t, s.Send(t, "after"))...)
	b.awaitAssessed(t)
	stop()
	for position, want := range []string{"{}", "{nights}", "{nights}", "{}"} {
		if n := b.count(t, `public.assessments where position = $1 and policy_version = $1 and topics = $2::text[]`, position+1, want); n != 1 {
			t.Errorf("message %d has not the topics %s under version %d", position+1, want, position+1)
		}
	}
	if n := b.count(t, `public.session_progress where topics -> 0 ->> 'topic' = 'nights' and round((topics -> 0 ->> 'weight')::numeric, 4) = 1.71`); n != 1 {
		t.Error("the session's topics are no decayed sum")
	}
}
