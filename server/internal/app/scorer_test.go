package app

import (
	"crypto/rand"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
)

// found is what an honest device would say of a message at a level.
func found(level byte) envelope.Score {
	return envelope.Score{
		After: 0, Level: level, Items: [6]byte{2, 2, 1}, Scores: [4]uint32{980_000, 20_000, 10_000, 500_000}, Model: "test-model", Ruleset: "test-rules", Rules: []string{"intent", "wish"},
	}
}

// scored is what the sidecar made of a score.
type scored struct {
	Source, Status, Reason string
	Level, Alerts          int
}

// scoredOf are those of a message, by their source.
func scoredOf(t *testing.T, p *storetest.Practice, m triage.Message) []scored {
	t.Helper()
	rows, err := p.Superuser.Query(t.Context(), `select a.source, a.status, coalesce(a.reason, ''), coalesce(a.level, -1)::int,
		  (select count(*) from public.alerts x where x.assessment_id = a.id)::int
		from public.assessments a where a.message_id = $1 order by a.source`, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[scored])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestForgedScoreCountsForNothingAndIsHeard: whatever is changed in a score after it was signed, and whoever signed it.
func TestForgedScoreCountsForNothingAndIsHeard(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	scorer, s := f.newScorer(), p.StrictSession(t)
	other := s.Send(t, "another message")
	for name, forge := range map[string]func(*envelope.Score){
		"level lowered":        func(c *envelope.Score) { c.Level = 0 },
		"rule dropped":         func(c *envelope.Score) { c.Rules = c.Rules[1:] },
		"rule added":           func(c *envelope.Score) { c.Rules = append(c.Rules, "quiet") },
		"after another state":  func(c *envelope.Score) { c.After = 1 },
		"an item cleared":      func(c *envelope.Score) { c.Items[0] = 1 },
		"a probability":        func(c *envelope.Score) { c.Scores[1]++ },
		"a flag":               func(c *envelope.Score) { c.Flags ^= envelope.FlagHarmOthers },
		"a category forced":    func(c *envelope.Score) { c.Hard ^= 1 },
		"another version":      func(c *envelope.Score) { c.Ruleset = "other" },
		"of another message":   func(c *envelope.Score) { c.Signature = signScore(t, s.Client.Device, s, other, found(5)).Signature },
		"by the other's key":   func(c *envelope.Score) { c.Signature = signScore(t, p.Therapist.Device, s, other, found(5)).Signature },
		"of no bytes of a key": func(c *envelope.Score) { c.Signature = envelope.EncodeText(make([]byte, envelope.SignatureBytes)) },
	} {
		m := s.Send(t, "one")
		s.Score(t, s.Client, m, triage.SourceSender, found(5), forge)
		look(t, scorer)
		want := scored{"sender", "not_assessed", "score", -1, 1}
		if got := scoredOf(t, p, m); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	m := s.Send(t, "one")
	s.Score(t, s.Client, m, triage.SourceSender, found(5), nil)
	look(t, scorer)
	if got := scoredOf(t, p, m); len(got) != 1 || got[0] != (scored{"sender", "assessed", "", 5, 1}) {
		t.Errorf("as it was signed: %+v", got)
	}
}

// signScore signs what a device found in a message, as its sender.
func signScore(t *testing.T, by *envelope.Device, s *storetest.Session, m triage.Message, c envelope.Score) envelope.Score {
	t.Helper()
	c.Session, c.Message, c.Epoch, c.Side = s.ID, m.ID, uint32(m.Epoch), envelope.SideSender
	c, err := envelope.SignScore(by, c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestADeviceThatIsNotOnTheRosterScoresNothing: one that came after the message's epoch reads it at most by shared history. It takes
// the place of none that is.
func TestADeviceThatIsNotOnTheRosterScoresNothing(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	scorer, s := f.newScorer(), p.StrictSession(t)
	m := s.Send(t, "one")
	later := p.Therapist
	later.Device = p.AddDevice(t, p.Therapist)
	s.Score(t, later, m, triage.SourceClinician, found(5), nil)
	look(t, scorer)
	refused := scored{"clinician", "not_assessed", "score", -1, 1}
	if got := scoredOf(t, p, m); len(got) != 1 || got[0] != refused {
		t.Errorf("%+v", got)
	}
	s.Score(t, p.Therapist, m, triage.SourceClinician, found(5), nil)
	look(t, scorer)
	if got := scoredOf(t, p, m); len(got) != 2 || !slices.Contains(got, scored{"clinician", "assessed", "", 5, 1}) {
		t.Errorf("with a device on the roster: %+v", got)
	}
}

// TestGarbageTakesNobodysPlace: whoever has a token can insert scores, and only the device can sign one. The true one counts, whether
// it comes among the others or after they were refused, and each that was refused is heard of.
func TestGarbageTakesNobodysPlace(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	scorer, s := f.newScorer(), p.StrictSession(t)
	garbage := func(c *envelope.Score) {
		signature := make([]byte, envelope.SignatureBytes)
		rand.Read(signature)
		c.Signature = envelope.EncodeText(signature)
	}
	for name, refusedFirst := range map[string]bool{"among the others": false, "after they were refused": true} {
		m := s.Send(t, "one")
		for range 7 {
			s.Score(t, s.Client, m, triage.SourceSender, found(0), garbage)
		}
		if refusedFirst {
			look(t, scorer)
			if got := scoredOf(t, p, m); len(got) != 1 || got[0] != (scored{"sender", "not_assessed", "score", -1, 1}) {
				t.Errorf("%s: without the true one it is %+v", name, got)
			}
		}
		s.Score(t, s.Client, m, triage.SourceSender, found(5), nil)
		look(t, scorer)
		look(t, scorer)
		var level, alerts, refused int
		if err := p.Superuser.QueryRow(t.Context(), `select a.level, (select count(*) from public.alerts x where x.assessment_id = a.id and x.level = 5),
			  (select count(*) from public.audit_log l where l.action = 'refuse' and l.subject_id = a.message_id || '/sender')
			from public.assessments a where a.message_id = $1 and a.superseded_at is null`, m.ID).Scan(&level, &alerts, &refused); err != nil || level != 5 || alerts != 1 || refused != 7 {
			t.Errorf("%s: level %d with %d alerts, %d refused, %v", name, level, alerts, refused, err)
		}
	}
	if due, err := f.store.ScoresDue(t.Context(), 100); len(due) != 0 || err != nil {
		t.Errorf("%d scores are judged again, %v", len(due), err)
	}
}

// TestTwoThatJudgeAtOnceLoseNoScore: one records that a score was refused while the other takes one that is true.
func TestTwoThatJudgeAtOnceLoseNoScore(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	s := p.StrictSession(t)
	first, second := f.newScorer(), f.newScorer()
	for range 10 {
		m := s.Send(t, "one")
		s.Score(t, s.Client, m, triage.SourceSender, found(5), func(c *envelope.Score) { c.Level = 0 })
		s.Score(t, s.Client, m, triage.SourceSender, found(5), nil)
		var both errgroup.Group
		both.Go(func() error { return first.look(t.Context()) })
		both.Go(func() error { return second.look(t.Context()) })
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		var level, refused int
		if err := p.Superuser.QueryRow(t.Context(), `select a.level, (select count(*) from public.audit_log l where l.action = 'refuse' and l.subject_id = a.message_id || '/sender')
			from public.assessments a where a.message_id = $1 and a.superseded_at is null`, m.ID).Scan(&level, &refused); err != nil || level != 5 || refused != 1 {
			t.Errorf("level %d, %d refused, %v", level, refused, err)
		}
	}
}

// TestOneMessageHasOneAlertUnlessTheSecondSideFindsWorse: a sender's device that plays down what it found keeps nobody quiet.
func TestOneMessageHasOneAlertUnlessTheSecondSideFindsWorse(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	scorer, s := f.newScorer(), p.StrictSession(t)
	threat := found(5)
	threat.Flags, threat.Hard = envelope.FlagHarmOthers, byte(triage.HarmOthers)
	for name, c := range map[string]struct {
		sender, clinician envelope.Score
		alerts            [2]int // of the clinician's finding, of the sender's
	}{
		"both the same":              {found(5), found(5), [2]int{0, 1}},
		"the sender's is graver":     {found(6), found(5), [2]int{0, 1}},
		"the clinician's is graver":  {found(4), found(6), [2]int{1, 1}},
		"only the clinician's pages": {found(1), found(5), [2]int{1, 0}},
		"only the sender's pages":    {found(5), found(1), [2]int{0, 1}},
		"neither pages":              {found(1), found(3), [2]int{0, 0}},
		"a danger to others besides": {found(5), threat, [2]int{1, 1}},
	} {
		m := s.Send(t, "one")
		s.Score(t, s.Client, m, triage.SourceSender, c.sender, nil)
		look(t, scorer)
		s.Score(t, p.Therapist, m, triage.SourceClinician, c.clinician, nil)
		look(t, scorer)
		got := scoredOf(t, p, m)
		if len(got) != 2 || got[0].Alerts != c.alerts[0] || got[1].Alerts != c.alerts[1] {
			t.Errorf("%s: %+v, want alerts %v", name, got, c.alerts)
		}
	}
	if due, err := f.store.ScoresDue(t.Context(), 100); len(due) != 0 || err != nil {
		t.Errorf("%d scores are judged again, %v", len(due), err)
	}
}

// TestASecondAlertIsRaisedForEachCategoryThatPages: also where the first is as grave by its level.
func TestASecondAlertIsRaisedForEachCategoryThatPages(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	scorer, s := f.newScorer(), p.StrictSession(t)
	for category, flag := range map[string]byte{"harm_others": envelope.FlagHarmOthers, "abuse": envelope.FlagAbuse, "distress": envelope.FlagDistress} {
		if _, err := p.Superuser.Exec(t.Context(), `update public.crisis_policies set page_categories = array[$1, 'self_harm'], page_at_level = 5`, category); err != nil {
			t.Fatal(err)
		}
		besides := found(5)
		besides.Flags, besides.Hard = flag, byte(triage.CategoriesOf([]string{category}))
		m := s.Send(t, "one")
		s.Score(t, s.Client, m, triage.SourceSender, found(5), nil)
		look(t, scorer)
		s.Score(t, p.Therapist, m, triage.SourceClinician, besides, nil)
		look(t, scorer)
		if got := scoredOf(t, p, m); len(got) != 2 || got[0].Alerts != 1 || got[1].Alerts != 1 {
			t.Errorf("%s besides: %+v, want an alert of each side", category, got)
		}
		m = s.Send(t, "one")
		s.Score(t, s.Client, m, triage.SourceSender, besides, nil)
		look(t, scorer)
		s.Score(t, p.Therapist, m, triage.SourceClinician, besides, nil)
		look(t, scorer)
		if got := scoredOf(t, p, m); len(got) != 2 || got[0].Alerts+got[1].Alerts != 1 {
			t.Errorf("%s by both: %+v, want one alert", category, got)
		}
	}
}

// TestWhatTheDeviceWouldAlertOfIsThePolicysToSay: its detector knows the default policy only.
func TestWhatTheDeviceWouldAlertOfIsThePolicysToSay(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	if _, err := p.Superuser.Exec(t.Context(), `update public.crisis_policies set page_at_level = 6, review_at_level = 5`); err != nil {
		t.Fatal(err)
	}
	f := flowOf(p)
	scorer, s := f.newScorer(), p.StrictSession(t)
	m := s.Send(t, "one")
	loud := found(4)
	loud.Flags = envelope.FlagAlert | envelope.FlagEscalate
	s.Score(t, s.Client, m, triage.SourceSender, loud, nil)
	look(t, scorer)
	if got := scoredOf(t, p, m); len(got) != 1 || got[0] != (scored{"sender", "assessed", "", 4, 0}) {
		t.Errorf("%+v", got)
	}
	var alert, escalate bool
	if err := p.Superuser.QueryRow(t.Context(), `select alert, escalate from public.assessments where message_id = $1`, m.ID).Scan(&alert, &escalate); err != nil || alert || !escalate {
		t.Errorf("alert %t escalate %t, want no alert and another look, %v", alert, escalate, err)
	}
}
