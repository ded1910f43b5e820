package cli_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/cli"
)

const eraseSecret = "sb_secret_an-invented-one"

// erasing answers as PostgREST and Storage do, and notes what it was asked.
type erasing struct {
	mu      sync.Mutex
	objects []string
	stuck   map[string]bool // files that Storage does not remove
	refuse  map[string]int  // by the path's last word: the status
	code    string          // of a refusal
	times   int             // how often it refuses; 0: always
	asked   []string
	settled int
}

func (j *erasing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	verb := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	j.asked = append(j.asked, r.Method+" "+verb)
	if r.Header.Get("Apikey") != eraseSecret || r.Header.Get("Authorization") != "Bearer "+eraseSecret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if status := j.refuse[verb]; status != 0 {
		if j.times--; j.times == 0 {
			delete(j.refuse, verb)
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"code": j.code, "message": "a secret of the other side"})
		return
	}
	var body struct {
		Prefixes []string `json:"prefixes"`
		Left     int      `json:"objects_left"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	receipt := map[string]any{"id": "0190c5a4-9a6e-7000-8000-000000000001", "status": "shredded", "objects_left": len(j.objects), "counts": map[string]int{"wraps": 4}}
	var answer any = receipt
	switch verb {
	case "objects_of_erasure":
		answer = j.objects
	case "sealed":
		j.objects = slices.DeleteFunc(j.objects, func(name string) bool { return slices.Contains(body.Prefixes, name) && !j.stuck[name] })
		answer = []any{}
	case "settle_erasure":
		j.settled = body.Left
		if receipt["objects_left"] = body.Left; body.Left == 0 {
			receipt["status"] = "done"
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// eraseAt runs the command against a project.
func eraseAt(t *testing.T, j *erasing, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(j)
	defer server.Close()
	env := map[string]string{"SUPABASE_URL": server.URL, "SUPABASE_SECRET_KEY": eraseSecret}
	var out, complaints bytes.Buffer
	code = cli.Run(t.Context(), cli.Process{
		Args: append([]string{"erase"}, words...), Getenv: func(name string) string { return env[name] }, Stdout: &out, Stderr: &complaints,
	})
	for _, said := range []string{out.String(), complaints.String()} {
		if strings.Contains(said, eraseSecret) || strings.Contains(said, "a secret of the other side") {
			t.Errorf("a secret is printed: %s", said)
		}
	}
	return code, out.String(), complaints.String()
}

func TestErasePrintsTheReceiptOfWhatIsGone(t *testing.T) {
	t.Parallel()
	session := uuid.NewString()
	j := &erasing{objects: make([]string, 250)}
	for i := range j.objects {
		j.objects[i] = session + "/" + uuid.NewString()
	}
	code, out, complaints := eraseAt(t, j, "session", session)
	var receipt struct {
		Status string
		Counts map[string]int
	}
	if err := json.Unmarshal([]byte(out), &receipt); err != nil || code != cli.ExitOK || receipt.Status != "done" || receipt.Counts["wraps"] != 4 {
		t.Errorf("%d %s %s %v", code, out, complaints, err)
	}
	want := []string{
		"POST erase_session", "POST objects_of_erasure", "DELETE sealed", "DELETE sealed", "DELETE sealed", "POST objects_of_erasure", "POST settle_erasure",
	}
	if !slices.Equal(j.asked, want) || j.settled != 0 {
		t.Errorf("asked %v, settled with %d", j.asked, j.settled)
	}
	if code, _, complaints := eraseAt(t, &erasing{}, "person", uuid.NewString(), uuid.NewString()); code != cli.ExitOK {
		t.Errorf("a person: %d %s", code, complaints)
	}
}

func TestEraseCallsAgainWhereTheDatabaseAsksForIt(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"VG028", "40P01"} {
		j := &erasing{refuse: map[string]int{"erase_session": http.StatusBadRequest}, code: code, times: 2}
		if exit, _, complaints := eraseAt(t, j, "session", uuid.NewString()); exit != cli.ExitOK || len(j.asked) != 5 {
			t.Errorf("%s: %d after %v: %s", code, exit, j.asked, complaints)
		}
	}
}

func TestEraseSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		project *erasing
		settled int
		says    string
	}{
		"a file that stays":        {&erasing{objects: []string{"a", "b"}, stuck: map[string]bool{"b": true}}, 1, "1 sealed files are left"},
		"Storage that is away":     {&erasing{objects: []string{"a"}, refuse: map[string]int{"sealed": 503}}, 1, "remove files: answered 503"},
		"files that nobody listed": {&erasing{refuse: map[string]int{"objects_of_erasure": 500}}, 1, "objects_of_erasure: answered 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, complaints := eraseAt(t, c.project, "session", uuid.NewString())
			if code != cli.ExitFail || !strings.Contains(out, `"shredded"`) || !strings.Contains(complaints, c.says) || c.project.settled != c.settled {
				t.Errorf("%d %s %s, settled with %d", code, out, complaints, c.project.settled)
			}
		})
	}
}

func TestEraseExplainsARefusal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		words  []string
		status int
		code   string
		exit   int
		says   string
	}{
		"no such session":        {[]string{"session", uuid.NewString()}, 404, "PT404", cli.ExitFail, "no such session"},
		"no such person":         {[]string{"person", uuid.NewString(), uuid.NewString()}, 404, "PT404", cli.ExitFail, "no such person"},
		"another key":            {[]string{"session", uuid.NewString()}, 403, "42501", cli.ExitFail, "SUPABASE_SECRET_KEY"},
		"an older schema":        {[]string{"session", uuid.NewString()}, 404, "PGRST202", cli.ExitFail, "run the migrations"},
		"no id":                  {[]string{"session"}, 0, "", cli.ExitUsage, "usage"},
		"what is no id":          {[]string{"session", "all"}, 0, "", cli.ExitUsage, "uuid"},
		"an unknown kind":        {[]string{"everything", uuid.NewString()}, 0, "", cli.ExitUsage, "usage"},
		"a person of nowhere":    {[]string{"person", uuid.NewString()}, 0, "", cli.ExitUsage, "usage"},
		"nothing at all":         {nil, 0, "", cli.ExitUsage, "usage"},
		"an unknown flag":        {[]string{"-x"}, 0, "", cli.ExitUsage, "usage"},
		"a word too many":        {[]string{"session", uuid.NewString(), uuid.NewString()}, 0, "", cli.ExitUsage, "usage"},
		"somebody wants to know": {[]string{"-h"}, 0, "", cli.ExitOK, "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &erasing{refuse: map[string]int{"erase_session": c.status, "erase_person": c.status}, code: c.code}
			if code, out, complaints := eraseAt(t, j, c.words...); code != c.exit || out != "" || !strings.Contains(complaints, c.says) {
				t.Errorf("%d %q %q", code, out, complaints)
			}
		})
	}
	var out, complaints bytes.Buffer
	code := cli.Run(t.Context(), cli.Process{
		Args: []string{"erase", "session", uuid.NewString()}, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &complaints,
	})
	if code != cli.ExitUsage || !strings.Contains(complaints.String(), "SUPABASE_SECRET_KEY") {
		t.Errorf("without a project: %d %s", code, &complaints)
	}
}
