package console

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"vigil/server/internal/config"
)

// built is what a build leaves.
func built() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"dist/.gitkeep":                 file(""),
		"dist/index.html":               file("<!doctype html><title>Vigil</title>"),
		"dist/demo.html":                file("<!doctype html><title>Vigil demo</title>"),
		"dist/vigil.svg":                file("<svg/>"),
		"dist/assets/index-C0ffee.js":   file("console: " + strings.Repeat("export {};", 500)),
		"dist/assets/demo-C0ffee.js":    file("demo"),
		"dist/assets/theme-C0ffee.css":  file("body{}"),
		"dist/assets/jsx-runtime-C0.js": file("shared"),
	}
}

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// setup returns the console of a build, as it is mounted.
func setup(t *testing.T, files fs.FS, demo string) http.Handler {
	t.Helper()
	c := Config{SupabaseURL: address(t, "https://abc.supabase.co"), PublishableKey: config.NewSecret("sb_publishable_x")}
	if demo != "" {
		c.DemoURL = address(t, demo)
	}
	h, err := newConsole(files, c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEachFileHasItsTypeAndIsCachedAsLongAsItsNameHolds(t *testing.T) {
	t.Parallel()
	h := setup(t, built(), "")
	for path, want := range map[string][2]string{
		"/console/":                        {"text/html; charset=utf-8", "no-store"},
		"/console/index.html":              {"text/html; charset=utf-8", "no-store"},
		"/console/config.json":             {"application/json", "no-store"},
		"/console/vigil.svg":               {"image/svg+xml", "no-cache"},
		"/console/assets/index-C0ffee.js":  {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/console/assets/theme-C0ffee.css": {"text/css; charset=utf-8", "public, max-age=31536000, immutable"},
	} {
		r := ask(t, h, http.MethodGet, path)
		if got := [2]string{r.Header.Get("Content-Type"), r.Header.Get("Cache-Control")}; r.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %s, %q, want %q", path, r.Status, got, want)
		}
	}
}

func TestTheDetectorTravelsAsItWasSqueezed(t *testing.T) {
	t.Parallel()
	files := built()
	whole, small := strings.Repeat("wasm", 1000), "squeezed"
	files["dist/detect/detect.wasm"] = &fstest.MapFile{Data: []byte(whole)}
	files["dist/detect/detect.wasm.br"] = &fstest.MapFile{Data: []byte(small)}
	h := setup(t, files, "")
	const at = "/console/detect/detect.wasm"
	for accepted, want := range map[string]string{"br, gzip": "br", "gzip": "gzip", "": ""} {
		r := ask(t, h, http.MethodGet, at, "Accept-Encoding", accepted)
		if got := r.Header.Get("Content-Encoding"); got != want || r.Header.Get("Content-Type") != "application/wasm" || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%q: %q %v", accepted, got, r.Header)
		}
		if want == "br" && body(t, r) != small || want == "" && body(t, r) != whole {
			t.Errorf("%q: other bytes", accepted)
		}
	}
	if r := ask(t, h, http.MethodGet, at+".br"); r.StatusCode != http.StatusNotFound {
		t.Errorf("by its own name: %s", r.Status)
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	t.Parallel()
	h := setup(t, built(), "")
	for _, path := range []string{"/console/", "/console/config.json", "/console/assets/index-C0ffee.js", "/console/nothing"} {
		r := ask(t, h, http.MethodGet, path)
		policy := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval';", "worker-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'",
			"connect-src 'self' https://abc.supabase.co wss://abc.supabase.co;",
		} {
			if !strings.Contains(policy+";", want) {
				t.Errorf("%s: %q is not in %q", path, want, policy)
			}
		}
		if strings.Contains(strings.Replace(policy, "'wasm-unsafe-eval'", "", 1), "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: %q", path, policy)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if !strings.Contains(r.Header.Get("Permissions-Policy"), "microphone=()") {
			t.Errorf("%s: Permissions-Policy is %q", path, r.Header.Get("Permissions-Policy"))
		}
	}
}

func TestTheInventedPeopleAreOfferedOnlyWhereThereIsADemo(t *testing.T) {
	t.Parallel()
	for demo, want := range map[string]int{"": 0, "http://127.0.0.1:8790": len(DemoPeople())} {
		var got settings
		if err := json.Unmarshal([]byte(body(t, ask(t, setup(t, built(), demo), http.MethodGet, "/console/config.json"))), &got); err != nil {
			t.Fatal(err)
		}
		if got.SupabaseURL != "https://abc.supabase.co" || got.PublishableKey != "sb_publishable_x" || got.VigilURL != "" {
			t.Errorf("settings %+v", got)
		}
		switch {
		case want == 0 && got.Demo != nil:
			t.Errorf("without a demo: %+v", got.Demo)
		case want > 0 && (got.Demo == nil || got.Demo.URL != demo || len(got.Demo.People) != want):
			t.Errorf("with a demo: %+v", got.Demo)
		}
	}
}

func TestTheDemosPageIsNotTheConsolesToServe(t *testing.T) {
	t.Parallel()
	h := setup(t, built(), "http://127.0.0.1:8790")
	for _, path := range []string{"/console/demo.html", "/console/assets/demo-C0ffee.js", "/console/.gitkeep", "/console/../console.go"} {
		if r := ask(t, h, http.MethodGet, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	demo, err := newDemo(built())
	if err != nil {
		t.Fatal(err)
	}
	if r := ask(t, demo, http.MethodGet, "/"); !strings.Contains(body(t, r), "Vigil demo") || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the demo's page: %s, %s", r.Status, r.Header.Get("Cache-Control"))
	}
	for path, want := range map[string]int{
		"/assets/demo-C0ffee.js": http.StatusOK, "/assets/jsx-runtime-C0.js": http.StatusOK, "/config.json": http.StatusNotFound, "/index.html": http.StatusNotFound,
	} {
		if r := ask(t, demo, http.MethodGet, path); r.StatusCode != want {
			t.Errorf("demo %s: %s", path, r.Status)
		}
	}
}

func TestAMissingBuildSaysWhatToRun(t *testing.T) {
	t.Parallel()
	bare := fstest.MapFS{"dist/.gitkeep": &fstest.MapFile{}}
	demo, err := newDemo(bare)
	if err != nil {
		t.Fatal(err)
	}
	for path, h := range map[string]http.Handler{"/console/": setup(t, bare, ""), "/": demo} {
		r := ask(t, h, http.MethodGet, path)
		if text := body(t, r); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, Task) {
			t.Errorf("%s: %s: %s", path, r.Status, text)
		}
	}
}

func TestTextIsSqueezedForThoseWhoTakeIt(t *testing.T) {
	t.Parallel()
	h := setup(t, built(), "")
	const path = "/console/assets/index-C0ffee.js"
	plain := body(t, ask(t, h, http.MethodGet, path))
	r := ask(t, h, http.MethodGet, path, "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v: %v", err, r.Header)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != plain {
		t.Errorf("%d bytes, want %d: %v", len(text), len(plain), err)
	}
	if r := ask(t, h, http.MethodGet, "/console/vigil.svg", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Error("a file of six bytes was squeezed")
	}
}

func TestAFileThatIsKnownIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := setup(t, built(), "")
	etag := ask(t, h, http.MethodGet, "/console/vigil.svg").Header.Get("Etag")
	if r := ask(t, h, http.MethodGet, "/console/vigil.svg", "If-None-Match", etag); etag == "" || r.StatusCode != http.StatusNotModified {
		t.Errorf("etag %q: %s", etag, r.Status)
	}
	if etag := ask(t, h, http.MethodGet, "/console/").Header.Get("Etag"); etag != "" {
		t.Errorf("the page, which is never kept, has the etag %s", etag)
	}
}

func TestOnlyReadingIsServed(t *testing.T) {
	t.Parallel()
	h := setup(t, built(), "")
	if r := ask(t, h, http.MethodPost, "/console/"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s", r.Status)
	}
	if r := ask(t, h, http.MethodHead, "/console/"); r.StatusCode != http.StatusOK || body(t, r) != "" || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %s", r.Status)
	}
}

func TestAFileOfAnUnknownKindIsRefused(t *testing.T) {
	t.Parallel()
	files := built()
	files["dist/assets/tool.exe"] = &fstest.MapFile{}
	if _, err := newDemo(files); !errors.Is(err, errKind) {
		t.Errorf("%v", err)
	}
}

// What is really embedded is served, whether it was built or not.
func TestWhatIsEmbeddedIsServed(t *testing.T) {
	t.Parallel()
	h := setup(t, dist, "")
	page := ask(t, h, http.MethodGet, Path)
	text := body(t, page)
	if page.StatusCode == http.StatusServiceUnavailable && os.Getenv("CI") == "true" {
		t.Fatal("the console is not built: run `" + Task + "`")
	}
	if page.StatusCode == http.StatusServiceUnavailable {
		t.Skip("the console is not built: run `" + Task + "`")
	}
	names := regexp.MustCompile(`(?:src|href)="\./([^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(names) < 2 {
		t.Fatalf("the page names %d files:\n%s", len(names), text)
	}
	for _, name := range names {
		if r := ask(t, h, http.MethodGet, Path+name[1]); r.StatusCode != http.StatusOK {
			t.Errorf("%s, which the page names: %s", name[1], r.Status)
		}
	}
	if regexp.MustCompile(`<script(?:\s[^>]*)?>[^<]|<style|\son\w+=|\sstyle=`).MatchString(text) {
		t.Errorf("the page has something inline, which its policy stops:\n%s", text)
	}
}

func TestTheInventedPeopleAreTheSeeds(t *testing.T) {
	t.Parallel()
	seed, err := os.ReadFile(filepath.Join("..", "..", "sql", "seed", "demo.sql"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(pattern string) map[string]string {
		found := map[string]string{}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(seed), -1) {
			found[m[1]] = m[2]
		}
		return found
	}
	emails := find(`\('(d0000000-[0-9a-f-]+)'::uuid, '([^']+@demo\.test)'\)`)
	roles := find(`'d0000000-0000-4000-8000-0000000000aa', '(d0000000-[0-9a-f-]+)', '(client|therapist|supervisor|admin)'`)
	names := find(`\('(d0000000-[0-9a-f-]+)', '([^']+ \(demo [^']+\))'\)`)
	var want []Person
	for _, id := range slices.Sorted(maps.Keys(emails)) {
		want = append(want, Person{emails[id], "demo-password", names[id], roles[id]})
	}
	if got := DemoPeople(); !slices.Equal(got, want) {
		t.Errorf("the console offers\n%v\nand the seed has\n%v", got, want)
	}
	if !strings.Contains(string(seed), "password is `demo-password`") {
		t.Error("the seed names another password")
	}
}
