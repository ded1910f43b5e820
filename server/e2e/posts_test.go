package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// post sends a request as realtime-js' httpSend and send do, and gives the answer's status and code.
func (s *stack) post(t testing.TB, p *person, path, contentType, body string) (status int, code string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.vigilURL+"/realtime/v1/api/broadcast"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Apikey", s.publishableKey)
	r.Header.Set("Content-Type", contentType)
	if p != nil {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var refused struct{ Code, Error string }
	if response.StatusCode != http.StatusAccepted {
		if err := json.Unmarshal(answer, &refused); err != nil || refused.Error == "" {
			t.Errorf("%s: %v", answer, err)
		}
	}
	return response.StatusCode, refused.Code
}

// hearing joins a topic and gives the frames that people send there, text and binary, as they come; not what the sidecar relays.
func (s *stack) hearing(t testing.TB, p *person, topic string) (next func() []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	conn, err := s.watch(p, topic).dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	t.Cleanup(func() {
		stop()
		cancel()
		_ = conn.Close()
	})
	next = func() []byte {
		t.Helper()
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				t.Fatalf("on %s: %v", topic, err)
			}
			if kind == websocket.BinaryMessage || bytes.Contains(data, []byte(`"event":"typing"`)) || bytes.Contains(data, []byte(`"extension":"recovery"`)) {
				return data
			}
		}
	}
	if err := conn.WriteJSON([]any{"1", "1", "realtime:" + topic, "phx_join", map[string]any{
		"access_token": p.token, "config": map[string]any{"private": true}}}); err != nil {
		t.Fatal(err)
	}
	if m := next(); !bytes.Contains(m, []byte("recovery")) { // it hears everything from here on
		t.Fatalf("got %s", m)
	}
	return next
}

// TestBroadcastsByRESTAskWhatSocketsAsk: what participants may send on their session's topic reaches those who hear it, and
// nobody else may send there, nor a participant once they are none.
func TestBroadcastsByRESTAskWhatSocketsAsk(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t, "VIGIL_CHANNEL_BROADCAST_BYTES=1000")
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	stranger := s.signUp(t, org, "client")
	topic := "session:" + y.id.String()
	next := s.hearing(t, y.therapist, topic)
	const canary = "heliotrope-canary"
	batch := func(topic string) string {
		return `{"messages":[{"topic":"` + topic + `","event":"typing","payload":{"by":"` + canary + `"},"private":true}]}`
	}
	event := "/" + url.PathEscape(topic) + "/events/typing?private=true"

	if status, code := s.post(t, y.client, "", "application/json", batch(topic)); status != http.StatusAccepted {
		t.Fatalf("a batch: %d %s", status, code)
	}
	if m := next(); !bytes.HasSuffix(m, []byte(`{"type":"broadcast","event":"typing","payload":{"by":"`+canary+`"}}]`)) {
		t.Errorf("got %s", m)
	}
	if status, code := s.post(t, y.client, event+"&apikey="+s.publishableKey+"&vsn=2.0.0", "application/octet-stream", "\x00\xff"+canary); status != http.StatusAccepted {
		t.Fatalf("bytes: %d %s", status, code)
	}
	if m := next(); !bytes.HasSuffix(m, []byte("\x00\xff"+canary)) {
		t.Errorf("got %q", m)
	}

	for name, c := range map[string]struct {
		by     *person
		topic  string
		status int
		code   string
	}{
		"nobody":                {nil, topic, http.StatusUnauthorized, "TokenMissing"},
		"a stranger":            {stranger, topic, http.StatusForbidden, "Unauthorized"},
		"to clinicians' eyes":   {y.client, "care:" + y.id.String(), http.StatusForbidden, "Unauthorized"},
		"to a topic of no kind": {y.client, "lobby", http.StatusForbidden, "Unauthorized"},
		"to nobody's session":   {y.client, "session:" + org.String(), http.StatusForbidden, "Unauthorized"},
	} {
		if status, code := s.post(t, c.by, "", "application/json", batch(c.topic)); status != c.status || code != c.code {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if status, code := s.post(t, y.client, event, "application/octet-stream", strings.Repeat("x", 1001)); status != http.StatusRequestEntityTooLarge || code != "PayloadTooLarge" {
		t.Errorf("larger than is configured: %d %s", status, code)
	}
	s.sql(t, "delete from public.session_participants where session_id = $1 and user_id = $2", y.id, y.client.id)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) { // until the log has told that the permission is gone
		status, _ := s.post(t, y.client, event, "application/json", "{}")
		return status == http.StatusForbidden, nil
	}); err != nil {
		t.Error("who is no participant any more may still send")
	}
	if strings.Contains(s.sidecar.out.String(), canary) {
		t.Error("what was sent is in the log lines")
	}
}
