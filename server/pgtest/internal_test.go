package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestRootRunsPostgresAsSomebodyElse(t *testing.T) {
	t.Parallel()
	known := func(names ...string) func(string) (*user.User, error) {
		return func(name string) (*user.User, error) {
			for i, known := range names {
				if name == known {
					return &user.User{Uid: fmt.Sprint(100 + i), Gid: "7"}, nil
				}
			}
			return nil, user.UnknownUserError(name)
		}
	}
	cases := map[string]struct {
		uid  int
		has  func(string) (*user.User, error)
		want string
		err  error
	}{
		"an ordinary user runs it himself":     {1000, known(), "1000", nil},
		"root prefers postgres":                {0, known("nobody", "postgres"), "postgres", nil},
		"root takes nobody":                    {0, known("nobody"), "nobody", nil},
		"root has nobody else":                 {0, known(), "", ErrNoAccount},
		"an account that is root is not taken": {0, func(string) (*user.User, error) { return &user.User{Uid: "0", Gid: "0"}, nil }, "", ErrNoAccount},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := unprivilegedFor(test.uid, test.has)
			if !errors.Is(err, test.err) || got.name != test.want {
				t.Errorf("got %q, %v; want %q, %v", got.name, err, test.want, test.err)
			}
			if isRoot := test.uid == 0 && err == nil; (got.credential != nil) != isRoot {
				t.Errorf("the credential is %v", got.credential)
			}
		})
	}
}

func TestTheLogOfAFailedStartBecomesASentence(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		log, says string
		is        error
	}{
		"the port is taken": {`LOG:  could not bind IPv4 address "127.0.0.1": Address already in use`, "127.0.0.1:5", ErrPortTaken},
		"the disk is full":  {`FATAL:  could not write file: No space left on device`, "free some space", nil},
		"somebody uses it":  {`FATAL:  lock file "postmaster.pid" already exists`, "stop the other run", ErrInUse},
		"just killed":       {`FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use`, "", errStillInUse},
		"another version":   {`FATAL:  database files are incompatible with server`, "another version", nil},
		"no shared memory":  {`FATAL:  could not create shared memory segment: Cannot allocate memory`, "kernel", nil},
		"something new":     {`FATAL:  the moon is full`, "the moon is full", nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := explainLog(test.log, 5, "/a/folder")
			if !strings.Contains(err.Error(), test.says) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestAFullOrClosedDiskSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for fault, says := range map[error]string{
		syscall.ENOSPC: "the disk is full: free some space", syscall.EACCES: "set TMPDIR", syscall.EROFS: "set TMPDIR", syscall.EIO: "input/output",
	} {
		err := plain("copy", &os.PathError{Op: "write", Path: "x", Err: fault})
		if !strings.Contains(err.Error(), says) || !errors.Is(err, fault) {
			t.Errorf("%v became %v", fault, err)
		}
	}
}

func TestWhereThereIsNoPostgresTheErrorSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	for version, says := range map[int]string{0: "postgresql", 15: "VIGIL_PG15_BIN", 17: "npm ci", 14: "15 and 17"} {
		if text := advice(version); !strings.Contains(text, says) {
			t.Errorf("the advice for version %d is %q", version, text)
		}
	}
}

func TestClustersThatStartAtOnceShareOneBaseButNotTheirIdentityWhenFresh(t *testing.T) {
	t.Parallel()
	const clusters = 3
	var wait sync.WaitGroup
	identifiers := make([]string, clusters)
	for i := range clusters {
		wait.Go(func() {
			c := Start(t, Options{Bare: true, Fresh: i == 0})
			pool := c.Database(t).Pool(t, RoleSuperuser)
			if err := pool.QueryRow(t.Context(), "select system_identifier::text from pg_control_system()").Scan(&identifiers[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if identifiers[0] == identifiers[1] || identifiers[1] != identifiers[2] {
		t.Errorf("the system identifiers are %v: the first alone should differ", identifiers)
	}
}

func TestWhatAKilledRunLeavesIsRemovedAndWhatIsInUseIsNot(t *testing.T) {
	t.Parallel()
	folder := func() string {
		dir, err := os.MkdirTemp(tempRoot(), clusterPrefix)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	left, used, young := folder(), folder(), folder()
	release, err := claim(used)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	old := time.Now().Add(-time.Hour)
	for _, dir := range []string{left, used} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	sweepClusters()
	for dir, stays := range map[string]bool{left: false, used: true, young: true} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s is there: %t, want %t", dir, err == nil, stays)
		}
	}
}

const ownerVariable = "VIGIL_PGTEST_OWNER"

// TestPostgresEndsWhenItsOwnerIsKilled starts this test binary again, lets it open a cluster, and kills it.
func TestPostgresEndsWhenItsOwnerIsKilled(t *testing.T) {
	if os.Getenv(ownerVariable) == "1" {
		c := Start(t, Options{Bare: true})
		fmt.Printf("\npostmaster %d in %s\n", c.process.pid, c.dir)
		select {} // until it is killed
	}
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("skipped, for only Linux' kernel tells a child that its parent died")
	}
	Start(t, Options{Bare: true}) // skips without Postgres, and fills the cache
	owner := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPostgresEndsWhenItsOwnerIsKilled$", "-test.v")
	owner.Env = append(os.Environ(), ownerVariable+"=1")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	for pid == 0 {
		var line [256]byte
		n, err := out.Read(line[:])
		if err != nil {
			t.Fatal(err)
		}
		if _, after, found := strings.Cut(string(line[:n]), "postmaster "); found {
			if _, err := fmt.Sscanf(after, "%d in %s", &pid, &dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	deadline := time.After(stopTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		stat, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("postmaster %d outlived its owner", pid)
		case <-tick.C:
		}
	}
}
