package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/cli"
	"vigil/server/internal/envelope"
	"vigil/server/pgtest"
	"vigil/server/standin"
)

var postgres = pgtest.Shared(pgtest.Options{Settings: map[string]string{"max_slot_wal_keep_size": "1GB"}})

func TestMain(m *testing.M) { goleak.VerifyTestMain(idle{postgres.Around(m)}) }

// idle closes the connections that http keeps for later: they are no leak.
type idle struct{ pgtest.Runner }

func (i idle) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return i.Runner.Run()
}

// deployment is a project with every migration, the stand-in over HTTP, and a sidecar's files and environment.
type deployment struct {
	*testing.T
	cluster *pgtest.Cluster
	db      *pgtest.Database
	dir     string
	keyFile string
	env     map[string]string
	now     func() time.Time
	secrets []string // must be in no output
}

// setup makes a healthy deployment that has been served once: its key is registered.
func setup(t *testing.T, cluster *pgtest.Cluster) *deployment {
	t.Helper()
	d := &deployment{T: t, cluster: cluster, db: cluster.Database(t)}
	project := d.startStandin()
	d.env = map[string]string{
		"DATABASE_URL": d.db.URL(pgtest.RoleSidecar), "REPLICATION_URL": d.db.URL(pgtest.RoleReplicator),
		"SUPABASE_URL": project.url, "SUPABASE_PUBLISHABLE_KEY": project.publishable, "SUPABASE_SECRET_KEY": project.secret,
		"VIGIL_ADDR": freeAddress(t), "VIGIL_OPERATOR_ADDR": freeAddress(t),
		"VIGIL_BUS_KEY": "bus-key-canary-1", "VIGIL_ALLOWED_ORIGINS": "https://app.example",
		"VIGIL_SLOT": fmt.Sprintf("vigil_%d_%s", cluster.Port(), strings.SplitN(d.db.Name, "_", 2)[0]), "VIGIL_LOG_LEVEL": "error",
	}
	d.env["VIGIL_NOTIFY_SECRET"] = "notify-secret-canary"
	d.env["VIGIL_NOTIFY_URL"] = d.notify("notify-secret-canary", http.StatusUnprocessableEntity, `{"code":"body_wrong","faults":[{"field":"step","must":"be a whole number from 1 to 32767"}]}`)
	u, err := url.Parse(d.db.URL(pgtest.RoleSidecar))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	d.secrets = []string{password, project.publishable, project.secret, "canary"}
	d.newFiles()
	return d
}

// newFiles gives the deployment a folder of its own with a new key, the only one that the project knows.
func (d *deployment) newFiles() {
	d.Helper()
	d.dir = d.TempDir()
	d.keyFile = filepath.Join(d.dir, "the key.json")
	d.env["VIGIL_DATA_DIR"], d.env["VIGIL_ANALYSIS_KEY_FILE"] = filepath.Join(d.dir, "data"), d.keyFile
	d.sql(pgtest.RoleOwner, "delete from public.devices")
	d.register(d.writeKey())
}

// in is the same deployment for a subtest, with an environment of its own.
func (d *deployment) in(t *testing.T) *deployment {
	c := *d
	c.T, c.env = t, maps.Clone(d.env)
	return &c
}

type project struct{ url, publishable, secret string }

func (d *deployment) startStandin() project {
	d.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	p := project{url: "http://" + l.Addr().String()}
	server, err := standin.New(standin.Config{
		URL: p.url, AuthDatabaseURL: d.db.URL(pgtest.RoleAuth), RestDatabaseURL: d.db.URL(pgtest.RoleAPI), HashCost: 4, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		d.Fatal(err)
	}
	p.publishable, p.secret = server.PublishableKey(), server.SecretKey()
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.Context()))
	var g errgroup.Group
	g.Go(func() error { return server.Serve(ctx, l) })
	d.Cleanup(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := g.Wait(); err != nil {
			d.Errorf("stand-in: %v", err)
		}
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := pgtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// writeKey puts a new key in place of the key file.
func (d *deployment) writeKey() *envelope.Device {
	d.Helper()
	k, err := envelope.NewDevice(uuid.New())
	if err != nil {
		d.Fatal(err)
	}
	if err := os.RemoveAll(d.keyFile); err != nil {
		d.Fatal(err)
	}
	if err := envelope.WriteKeyFile(d.keyFile, k); err != nil {
		d.Fatal(err)
	}
	text, err := k.Marshal()
	if err != nil {
		d.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		d.Fatal(err)
	}
	for name, v := range fields {
		if s, ok := v.(string); ok && len(s) > 40 && !strings.HasSuffix(name, "pub") {
			d.secrets = append(d.secrets, s)
		}
	}
	return k
}

func (d *deployment) register(k *envelope.Device) {
	d.Helper()
	d.sql(pgtest.RoleSidecar, fmt.Sprintf("select private.register_analysis_device('%s', '%s', '%s')", k.KID(), envelope.EncodeText(k.EncPub()), envelope.EncodeText(k.SigPub())))
}

// sql runs statements as a role, each outside a transaction when it is alone.
func (d *deployment) sql(role, statements string) {
	d.Helper()
	ctx := context.WithoutCancel(d.Context())
	conn, err := pgx.Connect(ctx, d.db.URL(role))
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range strings.Split(statements, "\n") {
		if _, err := conn.PgConn().Exec(ctx, s).ReadAll(); err != nil {
			d.Fatalf("as %s: %s: %v", role, s, err)
		}
	}
}

// with runs one command in the deployment's environment. No secret may be in what it prints.
func (d *deployment) with(args ...string) (code int, stdout, stderr string) {
	d.Helper()
	var out, err bytes.Buffer
	code = cli.Run(d.Context(), d.process(&out, &err, args...))
	d.noSecret(args[0], out.String()+err.String())
	return code, out.String(), err.String()
}

func (d *deployment) process(stdout, stderr io.Writer, args ...string) cli.Process {
	return cli.Process{Args: args, Getenv: func(name string) string { return d.env[name] }, Stdout: stdout, Stderr: stderr, Now: d.now}
}

func (d *deployment) noSecret(command, printed string) {
	d.Helper()
	for _, secret := range d.secrets {
		if strings.Contains(printed, secret) {
			d.Errorf("vigil %s printed a secret:\n%s", command, printed)
		}
	}
}

type finding struct{ Check, Status, Detail, Fix, SQL, Shell string }

type findings struct {
	Findings       []finding
	Failed, Warned int
	text           string
}

// program runs doctor for a program.
func (d *deployment) program() findings {
	d.Helper()
	code, out, _ := d.with("doctor", "--json")
	return d.read(code, out)
}

func (d *deployment) read(code int, out string) findings {
	d.Helper()
	var f findings
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		d.Fatalf("%v:\n%s", err, out)
	}
	if failed := f.Failed > 0; (code == cli.ExitFail) != failed || (code == cli.ExitOK) == failed {
		d.Errorf("exit code %d with %d failures", code, f.Failed)
	}
	return f
}

// doctor has it look once, for a program and for a person, and demands that both are told the same.
func (d *deployment) doctor() findings {
	d.Helper()
	var program, person, errs bytes.Buffer
	codes := cli.DoctorOnce(d.Context(), d.process(nil, &errs), &program, &person)
	d.noSecret("doctor", program.String()+person.String()+errs.String())
	f := d.read(codes[0], program.String())
	f.text = person.String()
	if codes[1] != codes[0] {
		d.Errorf("exit code %d with %d failures:\n%s", codes[1], f.Failed, f.text)
	}
	for _, x := range f.Findings {
		if x.Status != "fail" && x.Status != "warn" {
			continue
		}
		if x.Fix == "" || x.Detail == "" {
			d.Errorf("a finding without a fix: %+v", x)
		}
		if !strings.Contains(f.text, x.Detail) || !strings.Contains(f.text, x.Fix) {
			d.Errorf("only the JSON has %+v:\n%s", x, f.text)
		}
	}
	return f
}

// of gives the findings of a check with a status.
func (f findings) of(check, status string) []finding {
	return slices.DeleteFunc(slices.Clone(f.Findings), func(x finding) bool { return x.Check != check || x.Status != status })
}

// must gives the one finding of a check and status whose detail has the words; the test ends without it.
func (d *deployment) must(f findings, check, status, words string) finding {
	d.Helper()
	for _, x := range f.of(check, status) {
		if strings.Contains(x.Detail, words) {
			return x
		}
	}
	d.Fatalf("no %s of %q says %q:\n%s\n%+v", status, check, words, f.text, f.Findings)
	return finding{}
}

// healthy demands that nothing fails.
func (d *deployment) healthy() findings {
	d.Helper()
	f := d.program()
	if f.Failed > 0 {
		d.Fatalf("%d findings of a healthy deployment: %+v", f.Failed, slices.DeleteFunc(f.Findings, func(x finding) bool { return x.Status != "fail" }))
	}
	return f
}

// mend does to the letter what a finding says, as a role for SQL.
func (d *deployment) mend(role string, x finding) {
	d.Helper()
	if x.SQL == "" && x.Shell == "" {
		d.Fatalf("nothing to run: %+v", x)
	}
	if x.SQL != "" {
		d.sql(role, x.SQL)
	}
	if x.Shell != "" {
		if out, err := exec.CommandContext(d.Context(), "sh", "-c", x.Shell).CombinedOutput(); err != nil {
			d.Fatalf("%s: %v\n%s", x.Shell, err, out)
		}
	}
}
