package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/envelope"
)

// suggesting sets what an organisation wants.
func (s *stack) suggesting(t testing.TB, organization uuid.UUID, setting string) {
	t.Helper()
	s.sql(t, "update public.organizations set suggestions = $2 where id = $1", organization, setting)
}

// request asks for a suggestion as the therapist.
func (y *therapy) request(ctx context.Context) (id uuid.UUID, err error) {
	err = y.s.asPerson(ctx, y.therapist, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "select id from public.request_suggestion($1)", y.id).Scan(&id)
	})
	return id, err
}

func (y *therapy) mustRequest(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := y.request(t.Context())
	if err != nil {
		t.Fatalf("request a suggestion: %v", err)
	}
	return id
}

// suggestion is a row of suggestions.
type suggestion struct {
	id                           uuid.UUID
	status, source, move, reason string
	version, seals               int
}

// suggested waits until the message has a suggestion of that status.
func (s *stack) suggested(t testing.TB, message uuid.UUID, status string) (found suggestion) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		err := s.admin.QueryRow(ctx, `
			select s.id, s.status, coalesce(s.source, ''), coalesce(s.move, ''), coalesce(s.reason, ''), s.version,
			  (select count(*) from public.suggestion_seals k where k.suggestion_id = s.id)
			from public.suggestions s where s.message_id = $1 order by s.created_at desc limit 1`, message).
			Scan(&found.id, &found.status, &found.source, &found.move, &found.reason, &found.version, &found.seals)
		return err == nil && found.status == status, ignoreNone(ignoreTransient(err))
	})
	if err != nil {
		t.Fatalf("no suggestion is %s: %+v (%v)", status, found, err)
	}
	return found
}

func ignoreNone(err error) error {
	if err != nil && strings.Contains(err.Error(), pgx.ErrNoRows.Error()) {
		return nil
	}
	return err
}

// sealRow is a row of suggestion_seals as it is relayed.
type sealRow struct {
	Suggestion uuid.UUID `json:"suggestion_id"`
	Device     uuid.UUID `json:"device_id"`
	Session    uuid.UUID `json:"session_id"`
	Message    uuid.UUID `json:"message_id"`
	Sealed     string    `json:"sealed"`
	Signature  string    `json:"signature"`
}

// sealsOf waits until as many seals of the suggestion were relayed, and returns them by device.
func (w *watcher) sealsOf(t testing.TB, id uuid.UUID, count int) map[uuid.UUID]sealRow {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found map[uuid.UUID]sealRow
	err := w.await(ctx, func(w *watcher) bool {
		found = map[uuid.UUID]sealRow{}
		for _, b := range w.entries {
			var row sealRow
			if b.Event == "suggestion_seal" && json.Unmarshal(b.Payload, &row) == nil && row.Suggestion == id {
				found[row.Device] = row
			}
		}
		return len(found) >= count
	})
	if err != nil {
		t.Fatalf("%d seals were relayed: %v", len(found), err)
	}
	return found
}

// open verifies and opens a seal on a device, against the analysis key that the project knows.
func (s *stack) open(t testing.TB, d *envelope.Device, row sealRow) string {
	t.Helper()
	var encoded string
	if err := s.admin.QueryRow(t.Context(), "select sig_pub from public.devices where kind = 'analysis'").Scan(&encoded); err != nil {
		t.Fatal(err)
	}
	sigPub, err := envelope.DecodeText(encoded)
	if err != nil {
		t.Fatal(err)
	}
	text, err := envelope.OpenSuggestion(d, sigPub, envelope.Suggestion{
		ID: row.Suggestion, Session: row.Session, Message: row.Message, Device: row.Device, Sealed: row.Sealed, Signature: row.Signature,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answer sends a message by the therapist's first device.
func (y *therapy) answer(t testing.TB, text string) uuid.UUID {
	t.Helper()
	plain, err := envelope.Text(text, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m, err := y.epoch.Seal(y.therapist.device, uuid.New(), 0, plain)
	if err != nil {
		t.Fatal(err)
	}
	y.s.as(t, y.therapist, "insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ($1, $2, $3, $4, $5, $6)",
		m.ID, m.Session, m.Sender, m.Epoch, m.Seq, m.Body)
	return m.ID
}

// TestASuggestionReachesItsCliniciansDevicesAndNobodyElse: unasked, for a crisis; sealed to each unrevoked device of the
// therapist, relayed to the clinicians, and accepted with the message that was sent.
func TestASuggestionReachesItsCliniciansDevicesAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	s.suggesting(t, org, "elevated")
	client, therapist := s.signUp(t, org, "client"), s.signUp(t, org, "therapist")
	revoked := therapist.device
	s.addDevice(t, therapist)
	second := therapist.device
	s.addDevice(t, therapist)
	s.sql(t, "update public.devices set revoked_at = now() where id = $1", revoked.KID())
	y := s.therapyOf(t, org, client, therapist)
	care, theirs := s.watch(therapist, "care:"+y.id.String()), s.watch(client, "session:"+y.id.String())
	care.begin(t)
	theirs.begin(t)

	calm := y.send(t, "I went for a walk this morning and it helped.")
	crisis := y.send(t, crisisText)
	offered := s.suggested(t, crisis, "offered")
	if offered.source != "bank" || offered.move == "" || offered.seals != 2 {
		t.Errorf("%+v", offered)
	}
	seals := care.sealsOf(t, offered.id, 2)
	texts := map[string]bool{}
	for _, d := range []*envelope.Device{second, therapist.device} {
		texts[s.open(t, d, seals[d.KID()])] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d texts on two devices", len(texts))
	}
	for _, d := range []*envelope.Device{revoked, client.device} {
		if _, ok := seals[d.KID()]; ok {
			t.Error("a revoked or foreign device has a seal")
		}
	}
	if err := s.asPerson(t.Context(), client, func(tx pgx.Tx) error {
		var rows int
		err := tx.QueryRow(t.Context(), "select (select count(*) from public.suggestions) + (select count(*) from public.suggestion_seals)").Scan(&rows)
		if err == nil && rows != 0 {
			err = fmt.Errorf("the client sees %d rows", rows)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	theirs.mu.Lock()
	for _, b := range theirs.entries {
		if strings.HasPrefix(b.Event, "suggestion") {
			t.Error("the client was told of a suggestion")
		}
	}
	theirs.mu.Unlock()

	sent := y.answer(t, "Thank you for telling me.")
	s.as(t, therapist, "select public.decide_suggestion($1, 'accepted', $2, $3)", offered.id, offered.version, sent)
	var decided int
	if err := s.admin.QueryRow(t.Context(), `
		select count(*) from public.suggestions where id = $1 and status = 'accepted' and sent_message_id = $2 and decided_by = $3`,
		offered.id, sent, therapist.id).Scan(&decided); err != nil || decided != 1 {
		t.Errorf("decided %d, %v", decided, err)
	}
	var others int
	if err := s.admin.QueryRow(t.Context(), "select count(*) from public.suggestions where message_id in ($1, $2)", calm, sent).Scan(&others); err != nil || others != 0 {
		t.Errorf("%d suggestions nobody asked for, %v", others, err)
	}
	s.awaitMetric(t, `vigil_suggestions_total{outcome="offered",source="bank"}`, func(n float64) bool { return n == 1 })
}

func TestSuggestionsAreMadeWhenAskedForAndRefusedWhenOff(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	m := y.send(t, "I cannot sleep, I am awake all night.")
	if _, err := y.request(t.Context()); !isState(err, "VG019") {
		t.Errorf("off: %v", err)
	}
	s.suggesting(t, org, "on_demand")
	id := y.mustRequest(t)
	if got := s.suggested(t, m, "offered"); got.id != id || got.version != 2 || got.seals != 1 {
		t.Errorf("%+v", got)
	}
	again, err := y.request(t.Context())
	if err != nil || again != id {
		t.Errorf("an open one: %s %v", again, err)
	}
	s.as(t, y.therapist, "select public.decide_suggestion($1, 'rejected', 2)", id)
	other := y.mustRequest(t)
	var moves int
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		var offered int
		err := s.admin.QueryRow(ctx, "select count(*) filter (where status = 'offered'), count(distinct move) from public.suggestions where session_id = $1", y.id).Scan(&offered, &moves)
		return offered == 1, err
	}); err != nil || moves != 2 || other == id {
		t.Errorf("after a rejection: %d moves, %v", moves, err)
	}
	crisis := y.send(t, crisisText)
	if o := s.outcomeOf(t, crisis); o.level < 4 {
		t.Errorf("%+v", o)
	}
	s.sql(t, "update public.sessions set mode = 'strict' where id = $1", y.id)
	if _, err := y.request(t.Context()); !isState(err, "VG020") {
		t.Errorf("strict: %v", err)
	}
	s.suggesting(t, org, "off")
	var open, unasked int
	if err := s.admin.QueryRow(t.Context(), `
		select count(*) filter (where status in ('requested', 'offered')), count(*) filter (where requested_by is null) from public.suggestions`).Scan(&open, &unasked); err != nil || open != 0 || unasked != 0 {
		t.Errorf("%d are open, %d nobody asked for, %v", open, unasked, err)
	}
}

// model is a STAND-IN for an OpenAI-compatible server, for these tests only. It tells what it was asked, and can be slow.
type model struct {
	*httptest.Server
	asked chan string
	hold  chan struct{} // closed: answers
	draft string
}

func newModel(t testing.TB, draft string) *model {
	m := &model{asked: make(chan string, 16), hold: make(chan struct{}), draft: draft}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/chat/completions" {
			http.Error(w, "no such call", http.StatusNotFound)
			return
		}
		m.asked <- string(raw)
		select {
		case <-m.hold:
		case <-r.Context().Done():
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{
			map[string]any{"finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": m.draft}},
		}})
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *model) wasAsked(t testing.TB) string {
	t.Helper()
	select {
	case asked := <-m.asked:
		return asked
	case <-time.After(patience):
		t.Fatal("the model was not asked")
		return ""
	}
}

// letModelsRead is the client's consent to external models.
func (y *therapy) letModelsRead(t testing.TB) envelope.ConsentRow {
	t.Helper()
	c, err := envelope.SignConsent(y.client.device, uuid.New(), y.id, "A model may read along.", envelope.ScopeAnalysis, envelope.ScopeExternalModels)
	if err != nil {
		t.Fatal(err)
	}
	y.s.as(t, y.client, "insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values ($1, $2, $3, $4, $5, $6)",
		c.ID, c.Session, c.Device, c.Scope, c.TextHash, c.Signature)
	return c
}

// TestADraftedTextIsNowhereButSealed: a model is asked under a route and the client's consent; neither what was said nor what
// was drafted is in a log, a row, a metric or a file; and turned off while the model thinks, nothing comes of it.
func TestADraftedTextIsNowhereButSealed(t *testing.T) {
	t.Parallel()
	s := setup(t, options{settings: map[string]string{"log_statement": "all"}})
	canary, drafted := "quartz-canary-"+uuid.NewString(), "basalt-canary-"+strings.Repeat("quiet-", 3)+"end"
	m := newModel(t, "That stays with me: "+drafted+". What was it like?")
	s.sidecar.env = append(s.sidecar.env, "VIGIL_MODEL_URL="+m.URL+"/v1", "VIGIL_MODEL_KEY=key-of-the-model-9d1f")
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	s.suggesting(t, org, "on_demand")
	y := s.therapy(t, org)
	care := s.watch(y.therapist, "care:"+y.id.String())
	care.begin(t)

	without := y.send(t, "I had a quiet day, "+canary)
	y.mustRequest(t)
	if got := s.suggested(t, without, "offered"); got.source != "bank" {
		t.Errorf("without a route and consent: %+v", got)
	}
	s.sql(t, "insert into public.model_routes (organization_id, task, provider, model) values ($1, 'suggest', 'openai', 'small:1b')", org)
	alone := y.send(t, "another quiet day, "+canary)
	y.mustRequest(t)
	if got := s.suggested(t, alone, "offered"); got.source != "bank" {
		t.Errorf("with a route and no consent: %+v", got)
	}
	consent := y.letModelsRead(t)
	slow := y.send(t, "I cannot sleep well, "+canary)
	y.mustRequest(t)
	if asked := m.wasAsked(t); !strings.Contains(asked, canary) || strings.Contains(asked, y.id.String()) || strings.Contains(asked, y.client.email) {
		t.Error("the model was asked something else, or more")
	}
	s.suggesting(t, org, "off")
	close(m.hold)
	s.awaitMetric(t, `vigil_suggestions_total{outcome="withdrawn",source=""}`, func(n float64) bool { return n == 1 })
	if got := s.suggested(t, slow, "withdrawn"); got.seals != 0 {
		t.Errorf("%+v", got)
	}
	s.suggesting(t, org, "on_demand")
	id := y.mustRequest(t)
	m.wasAsked(t)
	if got := s.suggested(t, slow, "offered"); got.source != "model" || got.id != id {
		t.Errorf("%+v", got)
	}
	row := care.sealsOf(t, id, 1)[y.therapist.device.KID()]
	if text := s.open(t, y.therapist.device, row); !strings.Contains(text, drafted) {
		t.Error("the draft is not the model's")
	}
	signature, err := envelope.SignWithdrawal(y.client.device, consent)
	if err != nil {
		t.Fatal(err)
	}
	s.as(t, y.client, "select public.withdraw_consent($1, $2)", consent.ID, signature)
	y.newEpoch(t, y.client, y.consented.ID)
	after := y.send(t, "a last quiet day, "+canary)
	y.mustRequest(t)
	if got := s.suggested(t, after, "offered"); got.source != "bank" || len(m.asked) != 0 {
		t.Errorf("after the consent was withdrawn: %+v, asked %d times", got, len(m.asked))
	}

	secrets := []secret{newSecret("what was said", canary), newSecret("what was drafted", drafted), newSecret("the model's key", "key-of-the-model-9d1f")}
	_, metrics, err := get(t.Context(), s.operatorURL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	absent(t, "/metrics", []byte(metrics), secrets)
	absent(t, "the database", s.everyRow(t), secrets)
	care.mu.Lock()
	for _, b := range care.entries {
		absent(t, "a broadcast to clinicians", b.Payload, secrets)
		if b.Event == "suggestion_seal" && strings.Contains(string(b.Payload), slow.String()) && !strings.Contains(string(b.Payload), id.String()) {
			t.Error("a seal of the withdrawn suggestion was relayed")
		}
	}
	care.mu.Unlock()
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d", code)
	}
	absent(t, "the log", []byte(s.sidecar.out.String()), secrets)
	if err := s.cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files were searched", absentBelow(t, s.dataDir, secrets)+absentBelow(t, s.cluster.DataDir(), secrets))
}

// TestAKilledSidecarStillAnswersARequest: kill -9 between the request and the draft, before it is recorded, and after.
func TestAKilledSidecarStillAnswersARequest(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before_draft", "before_record", "after_record"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := setup(t, options{})
			s.sidecar.begin(t)
			s.sidecar.mustBeReady(t)
			org, _ := s.organization(t)
			s.suggesting(t, org, "on_demand")
			y := s.therapy(t, org)
			m := y.send(t, "I had an argument with my husband about money.")
			s.outcomeOf(t, m)
			if code := s.sidecar.stop(t); code != 0 {
				t.Errorf("vigil ended with %d", code)
			}
			id := y.mustRequest(t)
			killAt(t, s, "suggest."+point, 1)
			s.sidecar.begin(t)
			if got := s.suggested(t, m, "offered"); got.id != id || got.seals != 1 || got.version != 2 {
				t.Errorf("%+v", got)
			}
			s.sidecar.mustBeReady(t)
			var rows int
			if err := s.admin.QueryRow(t.Context(), "select count(*) from public.suggestions").Scan(&rows); err != nil || rows != 1 {
				t.Errorf("%d suggestions, %v", rows, err)
			}
		})
	}
}
