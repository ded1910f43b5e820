// Package console serves what clients and clinicians see: a page, built from src/ by `go tool task console:build` and embedded
// from dist/. It knows nothing of sessions; the page asks Supabase and the channel, as the person who is signed in.
//
// Guarantees: only what was built is served, under a policy that lets no inline script or style run, compiles WebAssembly but no text, and connects to nothing but
// this server and the project; files named by their content are cached for ever, the page and its configuration never; the
// demo's page is not among what New serves; a missing build is a page that says what to run.
// Not guaranteed: that the page is of this program's version when dist/ was built from another tree.
package console

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"vigil/server/internal/config"
)

//go:embed all:dist
var dist embed.FS

// Path is where New's handler must be mounted.
const Path = "/console/"

// Task is what builds the page.
const Task = "go tool task console:build"

// Config is what the page must know. SupabaseURL must be set.
type Config struct {
	SupabaseURL    *url.URL
	PublishableKey config.Secret // not a secret to a browser: every visitor gets it
	DemoURL        *url.URL      // development only; nil leaves the invented people out
}

// Person is one of the invented people of sql/seed/demo.sql, as the sign-in page offers them.
type Person struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Name     string `json:"name"`
	Role     string `json:"role"`
}

// DemoPeople are offered where there is a demo. A test keeps them equal to the seed.
func DemoPeople() []Person {
	const password = "demo-password"
	return []Person{
		{"clio@demo.test", password, "Clio (demo client)", "client"},
		{"theo@demo.test", password, "Theo (demo therapist)", "therapist"},
		{"olive@demo.test", password, "Olive (demo therapist, on call)", "therapist"},
		{"sunny@demo.test", password, "Sunny (demo supervisor)", "supervisor"},
		{"ada@demo.test", password, "Ada (demo admin)", "admin"},
	}
}

// New returns the console, to be mounted at Path.
func New(c Config) (http.Handler, error) { return newConsole(dist, c) }

// Demo returns the demo's page, to be mounted at the top of a development server of its own, beside its API.
func Demo() (http.Handler, error) { return newDemo(dist) }

func newConsole(built fs.FS, c Config) (http.Handler, error) {
	settings, err := json.Marshal(settingsOf(c))
	if err != nil {
		return nil, fmt.Errorf("write the console's config.json: %w", err)
	}
	s, err := newSite(built, "index.html", policy(c.SupabaseURL))
	if err != nil {
		return nil, err
	}
	s.hide(func(name string) bool { return name == "demo.html" || strings.HasPrefix(name, "assets/demo") })
	s.add("config.json", settings)
	return http.StripPrefix(strings.TrimSuffix(Path, "/"), s), nil
}

func newDemo(built fs.FS) (http.Handler, error) {
	s, err := newSite(built, "demo.html", policy(nil))
	if err != nil {
		return nil, err
	}
	s.hide(func(name string) bool { return name == "index.html" || strings.HasPrefix(name, "assets/index") })
	return s, nil
}

// settings is config.json; src/app/config.ts reads it.
type settings struct {
	SupabaseURL    string        `json:"supabaseUrl"`
	PublishableKey string        `json:"publishableKey"`
	VigilURL       string        `json:"vigilUrl"` // "": where the page came from
	Demo           *demoSettings `json:"demo"`
}

type demoSettings struct {
	URL    string   `json:"url"`
	People []Person `json:"people"`
}

func settingsOf(c Config) settings {
	s := settings{SupabaseURL: c.SupabaseURL.String(), PublishableKey: c.PublishableKey.Reveal()}
	if c.DemoURL != nil {
		s.Demo = &demoSettings{URL: c.DemoURL.String(), People: DemoPeople()}
	}
	return s
}

// policy is the page's Content-Security-Policy. What it connects to: this server ('self' covers its WebSocket), and the project.
// 'wasm-unsafe-eval' lets WebAssembly be compiled, not text be run: decision 0017.
func policy(supabase *url.URL) string {
	connect := "'self'"
	if supabase != nil {
		plain := supabase.Scheme + "://" + supabase.Host
		connect += " " + plain + " " + strings.Replace(plain, "http", "ws", 1)
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src " + connect,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
	}, "; ")
}
