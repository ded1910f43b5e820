package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/envelope"
)

// secret is text that must be found nowhere, in any of the forms it may take.
type secret struct {
	what  string
	forms [][]byte
}

// newSecret gives the text, its hex, and the base64 of it wherever in other text it begins.
func newSecret(what, text string) secret {
	s := secret{what: what, forms: [][]byte{[]byte(text), []byte(hex.EncodeToString([]byte(text))), []byte(strings.ToUpper(hex.EncodeToString([]byte(text))))}}
	for shift := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			whole := alphabet.EncodeToString(append(make([]byte, shift), text...))
			s.forms = append(s.forms, []byte(whole[4*min(shift, 1):len(whole)-4])) // without what its neighbours change
		}
	}
	return s
}

func (s secret) in(data []byte) bool {
	for _, form := range s.forms {
		if bytes.Contains(data, form) {
			return true
		}
	}
	return false
}

// absent reports each secret that data holds; it never prints the data.
func absent(t testing.TB, where string, data []byte, secrets []secret) {
	t.Helper()
	for _, s := range secrets {
		if s.in(data) {
			t.Errorf("%s was found in %s", s.what, where)
		}
	}
}

func TestASecretIsFoundInEveryForm(t *testing.T) {
	t.Parallel()
	const text = "a canary that sings in the mine"
	s := newSecret("the canary", text)
	for before := range 4 {
		long := []byte("xyz"[:min(before, 3)] + text + " and more")
		for name, data := range map[string][]byte{
			"plain": long, "hex": []byte(hex.EncodeToString(long)),
			"base64": []byte(base64.StdEncoding.EncodeToString(long)), "base64url": []byte(base64.RawURLEncoding.EncodeToString(long)),
		} {
			if !s.in(data) {
				t.Errorf("%s after %d bytes is not found", name, before)
			}
		}
	}
	if s.in([]byte("nothing of it")) {
		t.Error("it is found where it is not")
	}
}

// TestPlaintextIsNowhere is guarantee 5: a canary is sent in messages that open, that are forged, broken, of another kind
// and long, that name a file, that a strict session keeps, and where text does not belong; then everything that anybody could
// read is searched for it, and for the keys of the file and of recovery. It was opened: its level was assessed. Keys and tokens
// are in no log.
func TestPlaintextIsNowhere(t *testing.T) {
	t.Parallel()
	s := setup(t, options{settings: map[string]string{"log_statement": "all"}})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	canary := "quartz-canary-" + uuid.NewString()
	secrets := []secret{newSecret("the canary", canary)}
	care := s.watch(y.therapist, "care:"+y.id.String())
	care.begin(t)
	opened := y.sing(t, canary)
	secrets = append(secrets, y.sealed(t, canary)...)
	answers := s.misuse(t, y, canary)
	for _, m := range opened {
		o := s.outcomeOf(t, m)
		if o.status != "assessed" || o.level < 4 || o.alerts != 1 {
			t.Errorf("a message with the canary was not opened: %+v", o)
		}
		_, trace, err := get(t.Context(), s.operatorURL+"/trace/"+m.String())
		if err != nil || !strings.Contains(trace, "assessed") {
			t.Errorf("no trace: %v", err)
		}
		answers = append(answers, trace)
	}
	s.settled(t.Context(), t)
	_, metrics, err := get(t.Context(), s.operatorURL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	absent(t, "/metrics", []byte(metrics), secrets)
	absent(t, "answers", []byte(strings.Join(answers, "\n")), secrets)
	absent(t, "the database", s.everyRow(t), secrets)
	care.mu.Lock()
	for _, b := range care.entries {
		absent(t, "a broadcast to clinicians", b.Payload, secrets)
	}
	care.mu.Unlock()
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d", code)
	}
	absent(t, "the log", []byte(s.sidecar.out.String()), secrets)
	absent(t, "the log", []byte(s.sidecar.out.String()), s.credentials(t, y))
	if !strings.Contains(s.sidecar.out.String(), `"level":"DEBUG"`) {
		t.Error("the log was not asked for everything")
	}
	if err := s.cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := absentBelow(t, s.dataDir, secrets)
	files += absentBelow(t, filepath.Dir(s.cluster.DataDir()), secrets) // tables, WAL, statement log
	t.Logf("%d files were searched", files)
}

// sing sends the canary in every way a client can; it returns the messages that must open.
func (y *therapy) sing(t testing.TB, canary string) (opened []uuid.UUID) {
	t.Helper()
	crisis := canary + " " + crisisText
	opened = append(opened, y.send(t, crisis), y.send(t, strings.Repeat(canary+" ", 500)+crisisText))
	m, err := y.seal(crisis)
	if err != nil {
		t.Fatal(err)
	}
	bad := []envelope.Message{tampered(t, m)}
	for _, plaintext := range []string{crisis, `{"t":"image","body":"` + canary + `"}`, `{"t":"text","body":` + canary} {
		m, err := y.epoch.Seal(y.client.device, uuid.New(), y.seq, []byte(plaintext))
		if err != nil {
			t.Fatal(err)
		}
		y.seq++
		bad = append(bad, m)
	}
	for _, m := range bad {
		if err := y.insert(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if o := y.s.outcomeOf(t, m.ID); o.status != "not_assessed" {
			t.Errorf("a broken message: %+v", o)
		}
	}
	return append(opened, y.send(t, crisis))
}

// misuse puts the canary where text does not belong, and returns what was answered.
func (s *stack) misuse(t testing.TB, y *therapy, canary string) (answers []string) {
	t.Helper()
	for _, path := range []string{"/healthz?q=" + canary, "/v1/" + canary, "/realtime/v1/websocket?apikey=" + canary} {
		_, body, err := get(t.Context(), s.vigilURL+path)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, strings.ReplaceAll(body, canary, "")) // what was asked may be named to who asked
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.vigilURL+"/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+canary)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	w := s.watch(y.client, "session:"+y.id.String())
	conn, err := w.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	frames := []string{
		fmt.Sprintf(`["1","1","realtime:session:%s","phx_join",{"access_token":%q,"config":{"private":true}}]`, y.id, y.client.token),
		fmt.Sprintf(`["1","2","realtime:session:%s","broadcast",{"type":"broadcast","event":"typing","payload":{"text":%q}}]`, y.id, canary),
		fmt.Sprintf(`["1","3","realtime:session:%s","phx_join",{"access_token":%q,"config":{"private":true}}]`, y.id, canary),
		fmt.Sprintf(`["1","4","realtime:session:%s",%q,{}]`, y.id, canary),
		`["9","9","phoenix","heartbeat",{}]`,
		canary,
	}
	for _, f := range frames {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(f)); err != nil {
			t.Fatal(err)
		}
	}
	for beaten := false; !beaten; { // what came before it is handled
		f, err := readFrame(conn)
		if err != nil {
			break // the last one is no frame: the socket may be closed for it
		}
		beaten = f.topic == "phoenix"
	}
	return answers
}

// credentials are what must be in no log: private keys, tokens, passwords, connection keys.
func (s *stack) credentials(t testing.TB, y *therapy) (secrets []secret) {
	t.Helper()
	keys := []string{}
	file, err := os.ReadFile(filepath.Join(filepath.Dir(s.dataDir), "analysis-key.json"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := y.client.device.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{file, own} {
		var key map[string]any
		if err := json.Unmarshal(raw, &key); err != nil {
			t.Fatal(err)
		}
		for _, value := range key {
			if text, ok := value.(string); ok && len(text) > 36 { // all but the id
				keys = append(keys, text)
			}
		}
	}
	if len(keys) < 4 {
		t.Fatalf("%d private keys: the test proves nothing", len(keys))
	}
	for _, k := range keys {
		secrets = append(secrets, newSecret("a private key", k))
	}
	for _, p := range []*person{y.client, y.therapist} {
		secrets = append(secrets, newSecret("a token", p.token), newSecret("an address", p.email))
	}
	return append(secrets, newSecret("the publishable key", s.publishableKey), newSecret("the secret key", s.secretKey),
		newSecret("a password", databasePassword(t, s)))
}

// everyRow is every row of every table, as text: what a dump holds.
func (s *stack) everyRow(t testing.TB) []byte {
	t.Helper()
	var all bytes.Buffer
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, table := range tables {
			if _, err := conn.PgConn().CopyTo(ctx, &all, "copy "+table+" to stdout"); err != nil {
				return err
			}
		}
		return nil
	})
	if !bytes.Contains(all.Bytes(), []byte("Test practice")) {
		t.Error("the dump does not hold what the database holds: the test proves nothing")
	}
	return all.Bytes()
}

func absentBelow(t testing.TB, dir string, secrets []secret) (files int) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		files++
		absent(t, filepath.Base(name), data, secrets)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// databasePassword is that of every role of the throwaway Postgres.
func databasePassword(t testing.TB, s *stack) string {
	t.Helper()
	u, err := url.Parse(s.cluster.SuperuserURL())
	if err != nil {
		t.Fatal(err)
	}
	p, _ := u.User.Password()
	return p
}
