package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

func TestKeysAreMadeOnceAndNeverSilentlyAnew(t *testing.T) {
	t.Parallel()
	s := store.New(clusters.Cluster(t).Database(t).Pool(t, pgtest.RoleSidecar))
	file := filepath.Join(t.TempDir(), "secrets", "analysis-key.json")
	r := &resources{config: config.Config{AnalysisKeyFile: file}, log: quiet(), store: s}
	first, err := r.loadKeys(t.Context())
	if err != nil || len(first) != 1 {
		t.Fatalf("the first start: %v %v", first, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v %v", info.Mode(), err)
	}
	again, err := r.loadKeys(t.Context())
	if err != nil || len(again) != 1 || again[0].KID() != first[0].KID() {
		t.Fatalf("the second start: %v %v", again, err)
	}
	r.ring = envelope.NewRing(envelope.RingConfig{}, first...)
	if err := r.registerKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { //nolint:gosec // as it must not be
		t.Fatal(err)
	}
	if _, err := r.loadKeys(t.Context()); !errors.Is(err, envelope.ErrKeyFileMode) {
		t.Errorf("a file that others may read: %v", err)
	}
	text, err := first[0].Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.loadKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "1 analysis devices") || !strings.Contains(err.Error(), "restore it from the backup") {
		t.Errorf("a file that is missing although there was one: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made all the same: %v", err)
	}
	r.config.AnalysisKey = config.NewSecret(string(text))
	if keys, err := r.loadKeys(t.Context()); err != nil || keys[0].KID() != first[0].KID() {
		t.Errorf("the key of the environment: %v %v", keys, err)
	}
}

// TestNoKeyIsMadeWhileTheDatabaseIsAway: whether there was one cannot be told then.
func TestNoKeyIsMadeWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	c := config.Config{AnalysisKeyFile: filepath.Join(t.TempDir(), "key.json"), DatabaseURL: config.NewSecret("postgres://vigil:secret-password@127.0.0.1:1/postgres")}
	pool, err := openPool(t.Context(), c, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	r := &resources{config: c, log: quiet(), store: store.New(pool)}
	if _, err := r.loadKeys(t.Context()); err == nil || strings.Contains(err.Error(), "secret-password") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(c.AnalysisKeyFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
	c.DatabaseURL = config.NewSecret("postgres://vigil:secret-password@127.0.0.1:port/postgres")
	if _, err := openPool(t.Context(), c, 1); err == nil || strings.Contains(err.Error(), "secret-password") {
		t.Errorf("an address that cannot be read: %v", err)
	}
}

func TestTheCACertificateIsAddedWhereNoneIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ url, file, want string }{
		"no file":                 {"postgres://a@b/c?sslmode=require", "", "postgres://a@b/c?sslmode=require"},
		"a file":                  {"postgres://a@b/c", "/ca.pem", "postgres://a@b/c?sslmode=verify-full&sslrootcert=%2Fca.pem"},
		"the mode that was named": {"postgres://a@b/c?sslmode=verify-ca", "/ca.pem", "postgres://a@b/c?sslmode=verify-ca&sslrootcert=%2Fca.pem"},
		"the file that was named": {"postgres://a@b/c?sslrootcert=own.pem", "/ca.pem", "postgres://a@b/c?sslrootcert=own.pem"},
	} {
		got, err := WithCA(config.NewSecret(c.url), c.file)
		if got != c.want || err != nil {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
	if _, err := WithCA(config.NewSecret("postgres://a:secret@b:x/c"), "/ca.pem"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an address that cannot be read: %v", err)
	}
}

// TestAKeyWhoseDeviceIsRevokedStaysInUseForWhatIsOlder: rotation must not stop the sidecar.
func TestAKeyWhoseDeviceIsRevokedStaysInUseForWhatIsOlder(t *testing.T) {
	t.Parallel()
	db := clusters.Cluster(t).Database(t)
	older, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	newer, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	r := &resources{log: quiet(), store: store.New(db.Pool(t, pgtest.RoleSidecar)), ring: envelope.NewRing(envelope.RingConfig{}, older)}
	if err := r.registerKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool(t, pgtest.RoleOwner).Exec(t.Context(), "update public.devices set revoked_at = now() where id = $1", older.KID()); err != nil {
		t.Fatal(err)
	}
	if err := r.registerKeys(t.Context()); !errors.Is(err, errAllRevoked) || !triage.IsPermanent(err) {
		t.Errorf("no other key: %v", err)
	}
	r.ring.SetKeys(newer, older)
	if err := r.registerKeys(t.Context()); err != nil {
		t.Errorf("with a newer key: %v", err)
	}
	forged, err := envelope.NewDevice(newer.KID())
	if err != nil {
		t.Fatal(err)
	}
	r.ring.SetKeys(forged)
	if err := r.registerKeys(t.Context()); !triage.IsPermanent(err) {
		t.Errorf("other keys under a known id must end the start, not be tried for ever: %v", err)
	}
}
