package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// account is whom Postgres runs as: ourselves, or, since Postgres refuses root, an unprivileged user of this machine.
type account struct {
	name string
	// credential is nil when Postgres runs as ourselves.
	credential *syscall.Credential
}

// ErrNoAccount is what Open's error wraps when we are root and this machine has no unprivileged user to run Postgres as.
var ErrNoAccount = errors.New("Postgres refuses to run as root, and neither the user \"postgres\" nor \"nobody\" exists: " +
	"run this as an ordinary user, or create one with `useradd --system postgres`")

func unprivileged() (account, error) {
	return unprivilegedFor(os.Geteuid(), user.Lookup)
}

func unprivilegedFor(uid int, lookup func(string) (*user.User, error)) (account, error) {
	if uid != 0 {
		return account{name: strconv.Itoa(uid)}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, ErrNoAccount
}

// command prepares a program to run as the account, in a folder it can stand in, with no locale and no libpq settings of
// ours in its environment.
func (a account) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "PGTZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential, Setpgid: true}
	return cmd
}

// give makes the account the owner of one file.
func (a account) give(name string) error {
	if a.credential == nil {
		return nil
	}
	return os.Lchown(name, int(a.credential.Uid), int(a.credential.Gid))
}

// ErrUnreachable is what Open's error wraps when we are root and Postgres' account cannot enter Options.Dir.
var ErrUnreachable = errors.New("the folder is closed to Postgres")

// canReach tries, as the account, to list dir and to run Postgres; the error says which folder is in the way.
func (a account) canReach(dir string, b binaries) error {
	if a.credential == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := a.command(ctx, b.program("postgres"), "--version")
	cmd.Dir = dir
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: the user %q, as whom Postgres must run because we are root, cannot enter %s: "+
			"open its folders with `chmod o+x`, or choose another place: %w", ErrUnreachable, a.name, dir, err)
	}
	return nil
}

// tempRoot is where clusters and caches live: /var/tmp, which outlives a reboot and is on a disk, else the system's own.
func tempRoot() string {
	const durable = "/var/tmp"
	if os.Getenv("TMPDIR") == "" {
		if info, err := os.Stat(durable); err == nil && info.IsDir() {
			return durable
		}
	}
	return os.TempDir()
}

// cacheDir returns our folder for what is costly to make. Others may write to its parent, so one that we do not own is
// refused.
func cacheDir() (string, error) {
	dir := filepath.Join(tempRoot(), fmt.Sprintf("vigil-pgtest-%d", os.Geteuid()))
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return "", plain("make the cache of Postgres", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", plain("look at the cache of Postgres", err)
	}
	if !info.IsDir() || !isOurs(info) {
		return "", fmt.Errorf("%s exists and is not ours: remove it, or set TMPDIR to a folder of your own", dir)
	}
	return dir, nil
}

func isOurs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// lock takes an exclusive lock on a file, or waits for it. The lock ends with release, or with our process.
func lock(ctx context.Context, name string) (release func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, plain("open a lock file", err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for %s, which another run holds: %w", name, ctx.Err()), f.Close())
		case <-tick.C:
		}
	}
}

// claim takes the lock of a cluster's folder for as long as the cluster is ours, or fails at once with ErrInUse.
func claim(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, plain("open a lock file", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("start Postgres in %s: %w: stop the other run first", dir, ErrInUse), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// plain adds what to do to the failures that a full or read-only disk causes.
func plain(what string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: the disk is full: free some space below %s and run this again: %w", what, tempRoot(), err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: we may not write there: set TMPDIR to a folder of your own: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
