package store_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

func TestPoliciesAreReadByOrganization(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Superuser.Exec(t.Context(), `update public.crisis_policies set page_at_level = 2`); err != nil {
		t.Fatal(err)
	}
	got, err := b.store.Policies(t.Context(), []uuid.UUID{b.Organization, uuid.New()})
	want := triage.DefaultCrisisPolicy(b.Organization)
	want.PageAtLevel, want.Version = 2, 2
	want.QuietRules, want.ReviewRules = []string{}, []string{}
	if err != nil || !reflect.DeepEqual(got, []triage.CrisisPolicy{want}) {
		t.Errorf("policies %+v, error %v, want %+v", got, err, want)
	}
}

func TestPoliciesComeWithTheirBarsRulesAndTerms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, statement := range []string{
		`update public.crisis_policies set page_categories = '{self_harm,abuse}', review_categories = '{self_harm,harm_others,abuse}',
		   page_least_self_harm = 0.5, page_least_harm_others = 0, page_least_abuse = 0.75, review_least_distress = 0.25, quiet_rules = '{a.b,c}', review_rules = '{topic.visa}'`,
		`insert into public.topic_terms (organization_id, topic, term, language) select organization_id, 'visa', 'work permit', 'en' from public.crisis_policies`,
		`insert into public.topic_terms (organization_id, topic, term) select organization_id, 'nights', 'rota' from public.crisis_policies`,
	} {
		if _, err := b.Superuser.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	want := triage.DefaultCrisisPolicy(b.Organization)
	want.Page = triage.Bar{Categories: triage.SelfHarm | triage.Abuse, Least: triage.Scores{Risk: .5, Abuse: .75}}
	want.Review = triage.Bar{Categories: triage.SelfHarm | triage.HarmOthers | triage.Abuse, Least: triage.Scores{Distress: .25}}
	want.QuietRules, want.ReviewRules = []string{"a.b", "c"}, []string{"topic.visa"}
	want.TopicTerms = []triage.TopicTerm{{Topic: "nights", Term: "rota"}, {Topic: "visa", Term: "work permit", Language: "en"}}
	want.Version, want.TermsVersion = 4, 4
	got, err := b.store.Policies(t.Context(), []uuid.UUID{b.Organization})
	if err != nil || !reflect.DeepEqual(got, []triage.CrisisPolicy{want}) {
		t.Errorf("policies %+v, error %v, want %+v", got, err, want)
	}
}

func TestFindingsAreRecordedAndWhatIsNotKnownIsNull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	found, unread := b.outcome(s.Send(t, "one"), 4), b.outcome(s.Send(t, "two"), 0)
	a := &found.Assessment
	a.Items = triage.Items{triage.ItemPresent, triage.ItemPresent, triage.ItemUnknown, triage.ItemPresent, triage.ItemAbsent, triage.ItemUnknown}
	a.Scores = triage.Scores{Risk: .875, HarmOthers: .125, Abuse: 0, Distress: 1}
	a.Hard, a.Emotions, a.Language = triage.SelfHarm|triage.Abuse, []string{"fear", "sadness"}, "de"
	unread.Assessment, unread.Reason = triage.Assessment{}, triage.ReasonContent
	advance := b.advance(0, found, unread)
	advance.Topics = triage.SessionTopics{{Topic: "work", Weight: 1.5}, {Topic: "sleep", Weight: .25}}
	if _, err := b.store.Record(t.Context(), []triage.Advance{advance}); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, `public.assessments where items = '{present,present,unknown,present,absent,unknown}' and risk_score = 0.875
		and harm_others_score = 0.125 and abuse_score = 0 and distress_score = 1 and hard = '{self_harm,abuse}'
		and emotions = '{fear,sadness}' and language = 'de'`); n != 1 {
		t.Errorf("%d assessments with what was found, want 1", n)
	}
	if n := b.count(t, `public.assessments where status = 'not_assessed' and items is null and risk_score is null and hard = '{}' and language is null`); n != 1 {
		t.Errorf("%d assessments of which nothing is known, want 1", n)
	}
	progress, err := b.store.Progress(t.Context(), []uuid.UUID{s.ID})
	if err != nil || len(progress) != 1 || !slices.Equal(progress[0].Topics, advance.Topics) {
		t.Errorf("progress %+v, error %v, want topics %v", progress, err, advance.Topics)
	}
	wrong := b.outcome(s.Send(t, "three"), 4)
	wrong.Assessment.Scores.Risk = 2
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(2, wrong)}); triage.ReasonOf(err) != triage.ReasonUnrecordable {
		t.Errorf("error %v, want a row that is refused", err)
	}
}

func TestEarlierMessagesAreReadInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	sent := []triage.Message{s.Send(t, "one"), s.Send(t, "two"), s.Send(t, "three"), s.Send(t, "four")}
	s.Erase(t, sent[1])
	for name, c := range map[string]struct {
		after, upTo int64
		limit       int
		want        []uuid.UUID
	}{
		"all but the erased":  {0, 4, 10, []uuid.UUID{sent[0].ID, sent[2].ID, sent[3].ID}},
		"only so far":         {0, 3, 10, []uuid.UUID{sent[0].ID, sent[2].ID}},
		"a page":              {0, 4, 1, []uuid.UUID{sent[0].ID}},
		"the page after":      {1, 4, 1, []uuid.UUID{sent[2].ID}},
		"none after the last": {4, 4, 1, nil},
	} {
		got, err := b.store.Earlier(t.Context(), s.ID, c.after, c.upTo, c.limit)
		var ids []uuid.UUID
		for _, m := range got {
			ids = append(ids, m.ID)
			if m.Body == "" || m.SessionID != s.ID || m.OrganizationID != b.Organization || m.SenderDeviceID == uuid.Nil {
				t.Errorf("%s: message %s is not whole", name, m.ID)
			}
		}
		if err != nil || !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v, error %v, want %v", name, ids, err, c.want)
		}
	}
}
