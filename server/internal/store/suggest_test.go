package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
)

// suggesting sets organizations.suggestions.
func (b bundle) suggesting(t *testing.T, setting triage.Suggesting) {
	t.Helper()
	if _, err := b.Superuser.Exec(t.Context(), `update public.organizations set suggestions = $2 where id = $1`, b.Organization, string(setting)); err != nil {
		t.Fatal(err)
	}
}

// ask asks for a suggestion as the therapist.
func (b bundle) ask(t *testing.T, s *storetest.Session) uuid.UUID {
	t.Helper()
	var id uuid.UUID
	if err := b.As(t.Context(), b.Therapist, []any{&id}, `select id from public.request_suggestion($1)`, s.ID); err != nil {
		t.Fatal(err)
	}
	return id
}

func (b bundle) basis(t *testing.T, message, request uuid.UUID) triage.SuggestionBasis {
	t.Helper()
	basis, ok, err := b.store.SuggestionBasis(t.Context(), message, request)
	if err != nil || !ok {
		t.Fatalf("basis %t %v", ok, err)
	}
	return basis
}

// sealed is a suggestion's text, sealed to the therapist's device.
func (b bundle) sealed(t *testing.T, s *storetest.Session, suggestion, message uuid.UUID) []triage.Seal {
	t.Helper()
	sealed, err := envelope.SealSuggestion(b.Analysis, b.Therapist.Device.Member(envelope.RoleTherapist),
		envelope.Suggestion{ID: suggestion, Session: s.ID, Message: message}, []byte("draft"))
	if err != nil {
		t.Fatal(err)
	}
	return []triage.Seal{{DeviceID: sealed.Device, Sealed: sealed.Sealed, Signature: sealed.Signature}}
}

func (b bundle) offered(t *testing.T, s *storetest.Session, suggestion, message uuid.UUID) triage.Suggestion {
	t.Helper()
	return triage.Suggestion{
		ID: suggestion, MessageID: message, Status: triage.SuggestionOffered, Source: triage.SuggestionBank, Move: "open.more", BankVersion: "v",
		Seals: b.sealed(t, s, suggestion, message),
	}
}

func TestABasisTellsAllThatDecides(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.suggesting(t, triage.SuggestingElevated)
	s := b.Session(t)
	m := s.Send(t, "one")
	before := b.basis(t, m.ID, uuid.Nil)
	if before.Assessed || before.Known || before.Request != "" || before.Model != "" || len(before.Used) != 0 || before.Message.Body != m.Body {
		t.Errorf("before: %+v", before)
	}
	if before.Setting != triage.SuggestingElevated || !before.Consented || !before.FromClient || before.Answered || before.Strict || before.Ended {
		t.Errorf("before: %+v", before)
	}
	if len(before.Devices) != 1 || before.Devices[0] != b.Therapist.Device.KID() {
		t.Errorf("devices %+v: the therapist's only", before.Devices)
	}
	if d := triage.DefaultCrisisPolicy(b.Organization); before.Policy.PageAtLevel != d.PageAtLevel || before.Policy.ReviewAtLevel != d.ReviewAtLevel {
		t.Errorf("policy %+v", before.Policy)
	}
	o := b.outcome(m, 3)
	o.Assessment.Abuse = true
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, o)}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`insert into public.model_routes (organization_id, task, provider, model) values ($1, 'suggest', 'openai', 'qwen3:8b')`,
		`insert into public.crisis_policies (organization_id, page_at_level, review_at_level) values ($1, 5, 2)
		 on conflict (organization_id) do update set page_at_level = 5, review_at_level = 2`,
	} {
		if _, err := b.Superuser.Exec(t.Context(), statement, b.Organization); err != nil {
			t.Fatal(err)
		}
	}
	request := b.ask(t, s)
	after := b.basis(t, m.ID, request)
	a := after.Assessment
	if !after.Assessed || after.Unopened || a.Level != 3 || !a.Abuse || a.Distress || !a.Escalate || a.Sentiment != -.5 || len(a.Topics) != 2 {
		t.Errorf("assessment %+v", a)
	}
	if after.Request != triage.SuggestionRequested || !after.Known || after.Model != "qwen3:8b" || after.Policy.PageAtLevel != 5 || after.Policy.ReviewAtLevel != 2 {
		t.Errorf("after: %+v", after)
	}
	if stands, err := b.store.RecordSuggestion(t.Context(), b.offered(t, s, request, m.ID)); stands != triage.SuggestionOffered || err != nil {
		t.Fatalf("%q %v", stands, err)
	}
	if _, err := b.Superuser.Exec(t.Context(), `update public.devices set revoked_at = now() where id = $1`, b.Therapist.Device.KID()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Superuser.Exec(t.Context(), `update public.model_routes set enabled = false`); err != nil {
		t.Fatal(err)
	}
	s.Withdraw(t)
	last := b.basis(t, m.ID, request)
	if len(last.Devices) != 0 || last.Consented || last.Model != "" || len(last.Used) != 1 || last.Used[0] != "open.more" || last.Request != triage.SuggestionWithdrawn {
		t.Errorf("last: %+v", last)
	}
	if _, ok, err := b.store.SuggestionBasis(t.Context(), uuid.New(), uuid.Nil); ok || err != nil {
		t.Errorf("a message that is not there: %t %v", ok, err)
	}
}

func TestAMessageThatCouldNotBeAssessedIsUnopened(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	m := s.Send(t, "one")
	o := triage.Outcome{Message: m, Reason: triage.ReasonContent, Policy: triage.DefaultCrisisPolicy(m.OrganizationID)}
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, o)}); err != nil {
		t.Fatal(err)
	}
	if basis := b.basis(t, m.ID, uuid.Nil); !basis.Assessed || !basis.Unopened || basis.Assessment.Level != 0 {
		t.Errorf("%+v", basis)
	}
}

func TestASuggestionIsRecordedOnlyWhileItIsAllowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	m := s.Send(t, "one")
	record := func(g triage.Suggestion, want triage.SuggestionStatus) {
		t.Helper()
		if stands, err := b.store.RecordSuggestion(t.Context(), g); stands != want || err != nil {
			t.Errorf("stands %q (%v), want %q", stands, err, want)
		}
	}
	unasked := b.offered(t, s, uuid.New(), m.ID)
	for _, setting := range []triage.Suggesting{triage.SuggestingOff, triage.SuggestingOnDemand} {
		b.suggesting(t, setting)
		record(unasked, "")
	}
	request := b.ask(t, s)
	if tasks, err := b.store.SuggestionRequests(t.Context(), 10); err != nil || len(tasks) != 1 || tasks[0].Request != request || tasks[0].MessageID != m.ID || time.Since(tasks[0].At) > time.Minute {
		t.Errorf("requests %+v %v", tasks, err)
	}
	record(b.offered(t, s, request, m.ID), triage.SuggestionOffered)
	record(b.offered(t, s, request, m.ID), triage.SuggestionOffered)
	if n := b.count(t, `public.suggestion_seals where suggestion_id = $1`, request); n != 1 {
		t.Errorf("%d seals", n)
	}
	if tasks, err := b.store.SuggestionRequests(t.Context(), 10); err != nil || len(tasks) != 0 {
		t.Errorf("requests %+v %v", tasks, err)
	}
	b.suggesting(t, triage.SuggestingOff)
	record(b.offered(t, s, request, m.ID), triage.SuggestionWithdrawn)
	if n := b.count(t, `public.suggestion_seals`); n != 0 {
		t.Errorf("%d seals are left", n)
	}
	b.suggesting(t, triage.SuggestingElevated)
	none := triage.Suggestion{ID: uuid.New(), MessageID: m.ID, Status: triage.SuggestionNotMade, Reason: triage.SuggestionBusy}
	record(none, triage.SuggestionNotMade)
	bad := b.offered(t, s, uuid.New(), m.ID)
	bad.Move = "not an id"
	if _, err := b.store.RecordSuggestion(t.Context(), bad); !triage.IsPermanent(err) {
		t.Errorf("a move that is no id: %v", err)
	}
}

func TestUnsuggestedMessagesAreThoseThatNobodyAnsweredWithASuggestion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, calm := b.Session(t), b.Session(t)
	loud, quiet := s.Send(t, "one"), calm.Send(t, "two")
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(loud, 3)), b.advance(0, b.outcome(quiet, 0))}); err != nil {
		t.Fatal(err)
	}
	find := func(want int) {
		t.Helper()
		tasks, err := b.store.UnsuggestedMessages(t.Context(), time.Hour, 10)
		if err != nil || len(tasks) != want || want == 1 && (tasks[0].MessageID != loud.ID || tasks[0].Request != uuid.Nil) {
			t.Errorf("%+v %v, want %d", tasks, err, want)
		}
	}
	for setting, want := range map[triage.Suggesting]int{triage.SuggestingOff: 0, triage.SuggestingOnDemand: 0, triage.SuggestingElevated: 1} {
		b.suggesting(t, setting)
		find(want)
	}
	b.suggesting(t, triage.SuggestingElevated)
	if tasks, err := b.store.UnsuggestedMessages(t.Context(), time.Nanosecond, 10); err != nil || len(tasks) != 0 {
		t.Errorf("%+v %v: too old", tasks, err)
	}
	if stands, err := b.store.RecordSuggestion(t.Context(), b.offered(t, s, uuid.New(), loud.ID)); stands != triage.SuggestionOffered || err != nil {
		t.Fatalf("%q %v", stands, err)
	}
	find(0)
}

func TestHistoryIsTheLastMessagesUpToAPosition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	one, two, three := s.Send(t, "one"), s.Send(t, "two"), s.Send(t, "three")
	spoken, err := b.store.SuggestionHistory(t.Context(), s.ID, two.Position, 10)
	if err != nil || len(spoken) != 2 || spoken[0].ID != two.ID || spoken[1].ID != one.ID || spoken[0].Body != two.Body || !spoken[0].FromClient {
		t.Errorf("%d messages, %v", len(spoken), err)
	}
	if spoken, err = b.store.SuggestionHistory(t.Context(), s.ID, three.Position, 1); err != nil || len(spoken) != 1 || spoken[0].ID != three.ID {
		t.Errorf("%d messages, %v", len(spoken), err)
	}
}

func TestConsentsToExternalModelsAreLiveAndOfEachClient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.suggesting(t, triage.SuggestingOnDemand)
	if _, err := b.Superuser.Exec(t.Context(), `insert into public.model_routes (organization_id, task, provider, model) values ($1, 'suggest', 'openai', 'test-model')`, b.Organization); err != nil {
		t.Fatal(err)
	}
	s := b.Session(t)
	read := func(want int) {
		t.Helper()
		consents, err := b.store.ExternalConsents(t.Context(), s.ID, "test-model")
		given, known := consents[s.Client.ID]
		if err != nil || len(consents) != 1 || !known || len(given) != want {
			t.Errorf("%d consents (known %t), %v, want %d", len(given), known, err, want)
		}
	}
	read(0) // to analysis only
	c, err := envelope.SignConsent(s.Client.Device, uuid.New(), s.ID, "And a model may be asked.", envelope.ScopeAnalysis, envelope.ScopeExternalModels)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.As(t.Context(), s.Client, nil, `insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature)
		values ($1, $2, $3, $4, $5, $6)`, c.ID, s.ID, c.Device, c.Scope, c.TextHash, c.Signature); err != nil {
		t.Fatal(err)
	}
	read(1)
	signature, err := envelope.SignWithdrawal(s.Client.Device, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.As(t.Context(), s.Client, []any{new(uuid.UUID)}, `select id from public.withdraw_consent($1, $2)`, c.ID, signature); err != nil {
		t.Fatal(err)
	}
	read(0)
}
