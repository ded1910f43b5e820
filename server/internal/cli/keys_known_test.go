package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/internal/cli"
	"vigil/server/internal/envelope"
	"vigil/server/pgtest"
)

// held are the keys in the deployment's file.
func (d *deployment) held() []*envelope.Device {
	d.Helper()
	keys, err := envelope.FileSource{Path: d.keyFile}.Keys(d.Context())
	d.noError(err)
	return keys
}

// line is what `vigil keys list` says of a key.
func (d *deployment) line(k *envelope.Device) string {
	d.Helper()
	code, out, said := d.with("keys", "list")
	if code != cli.ExitOK {
		d.Fatalf("keys list: %d: %s", code, said)
	}
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, k.KID().String()) {
			if !strings.Contains(line, envelope.Fingerprint(k.Member(envelope.RoleAnalysis))) {
				d.Errorf("no fingerprint: %s", line)
			}
			return line
		}
	}
	return ""
}

func (d *deployment) says(k *envelope.Device, words ...string) {
	d.Helper()
	line := d.line(k)
	for _, w := range words {
		if !strings.Contains(line, w) {
			d.Errorf("keys list does not say %q: %q", w, line)
		}
	}
}

// refused demands that a command fails and says why.
func (d *deployment) refused(why string, args ...string) {
	d.Helper()
	if code, _, said := d.with(args...); code != cli.ExitFail || !strings.Contains(said, why) {
		d.Errorf("%v: %d: %s", args, code, said)
	}
}

// TestKeysAreRotatedByCommand: new, listed, retired; doctor follows.
func TestKeysAreRotatedByCommand(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	old := d.held()[0]
	d.says(old, "on new rosters", "yes")
	d.refused("it is the only key", "keys", "retire", old.KID().String())
	code, out, said := d.with("keys", "new", "--rotate")
	if code != cli.ExitOK {
		t.Fatalf("%d: %s", code, said)
	}
	keys := d.held()
	if len(keys) != 2 || keys[1].KID() != old.KID() || strings.TrimSpace(out) != keys[0].KID().String() {
		t.Fatalf("the file holds %d keys; printed %q", len(keys), out)
	}
	newer := keys[0]
	d.says(newer, "not registered", "yes")
	d.must(d.doctor(), "key", "warn", "1 key not registered yet")
	d.refused("it is the only key", "keys", "retire", old.KID().String())
	d.register(newer)
	d.says(newer, "on new rosters", "yes")
	d.says(old, "opens older epochs", "yes")
	if code, _, said := d.with("keys", "retire", old.KID().String()); code != cli.ExitOK || !strings.Contains(said, "72h") {
		t.Fatalf("%d: %s", code, said)
	}
	d.says(old, "retired, needed by nothing", "yes")
	d.must(d.doctor(), "key", "ok", "1 retired")
	d.refused("it is the only key", "keys", "retire", newer.KID().String())
	// The database gives it up, and nobody takes it out of the file.
	d.sql(pgtest.RoleSidecar, "select private.destroy_analysis_device('"+old.KID().String()+"')")
	d.says(old, "destroyed", "yes")
	d.must(d.doctor(), "key", "warn", "has ended is still in the key file")
	d.noError(envelope.FileSource{Path: d.keyFile}.Remove(t.Context(), old.KID()))
	d.says(old, "destroyed", "no")
	d.must(d.healthy(), "key", "ok", "1 key, registered")
}

// TestAKeyIsNotRetiredForOneThatIsElsewhere: nobody here could open what comes next.
func TestAKeyIsNotRetiredForOneThatIsElsewhere(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	old := d.held()[0]
	elsewhere, err := envelope.NewDevice([16]byte{15: 7})
	d.noError(err)
	d.register(elsewhere)
	d.refused("not in the key file here", "keys", "retire", old.KID().String())
	d.refused("knows no analysis key", "keys", "retire", "00000000-0000-4000-8000-000000000001")
	d.says(elsewhere, "on new rosters", "no")
	code, out, _ := d.with("keys", "fingerprint", elsewhere.KID().String())
	if want := envelope.Fingerprint(elsewhere.Member(envelope.RoleAnalysis)); code != cli.ExitOK || strings.TrimSpace(out) != want {
		t.Errorf("%d: %q instead of %q", code, out, want)
	}
	if code, _, _ := d.with("keys", "retire", "not-an-id"); code != cli.ExitUsage {
		t.Errorf("a word that is no id: %d", code)
	}
}

func TestFingerprintsNeedNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.json")
	env := map[string]string{"VIGIL_ANALYSIS_KEY_FILE": path}
	if code, _, said := run(t, env, "keys", "new"); code != cli.ExitOK {
		t.Fatalf("%d: %s", code, said)
	}
	if code, _, said := run(t, env, "keys", "new", "--rotate"); code != cli.ExitOK {
		t.Fatalf("%d: %s", code, said)
	}
	keys, err := envelope.FileSource{Path: path}.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(t, env, "keys", "fingerprint")
	want := ""
	for _, k := range keys {
		want += k.KID().String() + "  " + envelope.Fingerprint(k.Member(envelope.RoleAnalysis)) + "\n"
	}
	if code != cli.ExitOK || out != want {
		t.Errorf("%d: %q instead of %q", code, out, want)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env = map[string]string{"VIGIL_ANALYSIS_KEY": string(text)}
	if code, again, _ := run(t, env, "keys", "fingerprint"); code != cli.ExitOK || again != want {
		t.Errorf("of the environment: %d: %q", code, again)
	}
	if code, _, said := run(t, env, "keys", "new", "--rotate"); code != cli.ExitFail || !strings.Contains(said, "VIGIL_ANALYSIS_KEY is set") {
		t.Errorf("a file that nothing reads: %d: %s", code, said)
	}
}

// TestNothingIsRotatedThatIsNotThere: a typing error makes no second file.
func TestNothingIsRotatedThatIsNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.json")
	if code, _, said := run(t, nil, "keys", "new", "--rotate", path); code != cli.ExitFail || !strings.Contains(said, "nothing to rotate") {
		t.Errorf("%d: %s", code, said)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file was made: %v", err)
	}
}
