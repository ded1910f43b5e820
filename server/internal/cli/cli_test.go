package cli_test

import (
	"bytes"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"vigil/server/internal/cli"
)

// lines is a buffer that two may use at once.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// files are the names in the deployment's folder.
func (d *deployment) files() []string {
	d.Helper()
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func run(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), cli.Process{Args: args, Getenv: func(name string) string { return env[name] }, Stdout: &out, Stderr: &err})
	return code, out.String(), err.String()
}

func TestACallIsAnsweredOrExplained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"help lists every command":              {[]string{"help"}, cli.ExitOK, "trace", ""},
		"so does --help":                        {[]string{"--help"}, cli.ExitOK, "doctor", ""},
		"and nothing at all":                    {nil, cli.ExitOK, "serve", ""},
		"an unknown command is named":           {[]string{"dance"}, cli.ExitUsage, "", "no such command: dance"},
		"version":                               {[]string{"version"}, cli.ExitOK, "vigil ", ""},
		"--version":                             {[]string{"--version"}, cli.ExitOK, "vigil ", ""},
		"version takes nothing":                 {[]string{"version", "now"}, cli.ExitUsage, "", "usage: vigil version"},
		"help of a command":                     {[]string{"doctor", "-h"}, cli.ExitOK, "", "usage: vigil doctor [--json]"},
		"an unknown flag":                       {[]string{"doctor", "--xml"}, cli.ExitUsage, "", "usage: vigil doctor"},
		"serve takes nothing":                   {[]string{"serve", "fast"}, cli.ExitUsage, "", "usage: vigil serve"},
		"trace needs an id":                     {[]string{"trace"}, cli.ExitUsage, "", "usage: vigil trace"},
		"a message's id is a uuid":              {[]string{"trace", "7"}, cli.ExitUsage, "", "is a uuid"},
		"doctor takes no word":                  {[]string{"doctor", "please"}, cli.ExitUsage, "", "usage: vigil doctor"},
		"doctor without configuration says all": {[]string{"doctor"}, cli.ExitFail, "SUPABASE_PUBLISHABLE_KEY: is not set", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, err := run(t, nil, c.args...)
			if code != c.code || !strings.Contains(out, c.stdout) || !strings.Contains(err, c.stderr) || (out == "") != (c.stdout == "") || (err == "") != (c.stderr == "") {
				t.Errorf("code %d\nstdout: %s\nstderr: %s", code, out, err)
			}
		})
	}
}

// badEnv has a fault in every line, and a canary in every value.
var badEnv = map[string]string{
	"DATABASE_URL": "mysql://vigil:canary-1@host/db", "REPLICATION_URL": "canary-2", "SUPABASE_URL": "ftp://canary-3", "SUPABASE_PUBLISHABLE_KEY": "",
	"VIGIL_ADDR": "canary-4", "VIGIL_SLOT": "canary-5", "VIGIL_DRAIN_TIMEOUT": "canary-6", "VIGIL_LOG_LEVEL": "canary-7", "VIGIL_ALLOWED_ORIGINS": "canary-8",
}

func TestABadConfigurationIsToldWholeAndWithoutValues(t *testing.T) {
	t.Parallel()
	code, out, err := run(t, badEnv, "serve")
	doctorCode, found, _ := run(t, badEnv, "doctor")
	_, asJSON, _ := run(t, badEnv, "doctor", "--json")
	if code != cli.ExitUsage || out != "" || doctorCode != cli.ExitFail {
		t.Errorf("codes %d and %d, stdout %q", code, doctorCode, out)
	}
	for name := range badEnv {
		for _, text := range []string{err, found, asJSON} {
			if !strings.Contains(text, name+": ") {
				t.Errorf("%s is not named:\n%s", name, text)
			}
		}
	}
	if strings.Contains(err+found+asJSON, "canary") {
		t.Errorf("a value was printed:\n%s%s%s", err, found, asJSON)
	}
}

func TestServeOnATakenPortSaysSo(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, variable := range []string{"VIGIL_ADDR", "VIGIL_OPERATOR_ADDR"} {
		free := d.env[variable]
		d.env[variable] = l.Addr().String()
		code, _, said := d.with("serve")
		if code != cli.ExitFail || !strings.Contains(said, variable) || !strings.Contains(said, "address already in use") || !strings.Contains(said, "is another vigil running?") {
			t.Errorf("code %d: %s", code, said)
		}
		d.must(d.doctor(), "ports", "fail", variable)
		d.env[variable] = free
	}
	d.healthy()
}

func TestServeOnABusInUseSaysSo(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	d.serve()
	d.env["VIGIL_ADDR"], d.env["VIGIL_OPERATOR_ADDR"] = freeAddress(t), freeAddress(t)
	if code, _, said := d.with("serve"); code != cli.ExitFail || !strings.Contains(said, "data directory is in use by another process") {
		t.Errorf("code %d: %s", code, said)
	}
}
