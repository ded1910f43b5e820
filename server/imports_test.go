package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "vigil/"

// nouns may be imported by everything below server/.
var nouns = []string{"server/internal/triage", "server/internal/logkey", "server/internal/config"}

// mayImport holds the dependency rule: a package, and what of ours its code may import beside the nouns. A package that
// is not listed fails. Tests anywhere may import pgtest and standin, and the packages they hold together.
var mayImport = map[string][]string{
	"server/internal/triage":       {},
	"server/internal/logkey":       {},
	"server/internal/config":       {},
	"realtime/phoenix":             {},
	"realtime":                     {"realtime/phoenix"},
	"realtime/client":              {},
	"realtime/internal/echoserver": {"realtime", "realtime/internal/memory"},
	"realtime/internal/memory":     {"realtime"},

	"server/internal/replication":         {},
	"server/internal/bus":                 {},
	"server/internal/envelope":            {},
	"server/internal/identity":            {},
	"server/internal/telemetry":           {},
	"server/internal/assess":              {},
	"server/internal/assess/corpus":       {},
	"server/internal/assess/learn":        {"server/internal/assess", "server/internal/assess/corpus"},
	"server/internal/assess/learn/detect": {"server/internal/assess", "server/internal/assess/corpus", "server/internal/assess/learn"},
	"server/internal/assess/wasm":         {"server/internal/assess", "server/internal/assess/corpus"},
	"server/internal/store":               {},
	"server/internal/pipeline":            {"server/internal/replication", "server/internal/envelope"},
	"server/internal/relay":               {"realtime"},
	"server/internal/grant":               {"realtime"},
	"server/internal/suggest":             {"server/internal/replication", "server/internal/envelope"},
	"server/internal/escalation":          {},
	"server/internal/replay":              {"server/internal/envelope", "realtime/phoenix"},
	"server/internal/gateway":             {"server/internal/identity", "server/internal/telemetry"},

	"server/standin":                  {"server/standin/auth", "server/standin/rest", "server/standin/storage"},
	"server/standin/auth":             {},
	"server/standin/rest":             {},
	"server/standin/storage":          {},
	"server/standin/serve":            {"server/standin", "server/pgtest"},
	"server/standin/dev":              {"server/standin", "server/pgtest", "server/console", "server/internal/replay"},
	"server/pgtest":                   {},
	"server/pgtest/suite":             {"server/pgtest"},
	"server/internal/store/storetest": {"server/internal/envelope", "server/pgtest"},
	"server/console":                  {},

	"server/internal/app": {"*"},
	"server/internal/cli": {"*"},
	"server":              {"*"},
	"server/e2e":          {"*"},
}

// developmentOnly must stay out of the sidecar, whoever would bring it in.
var developmentOnly = []string{"server/standin", "server/pgtest", "server/e2e", "server/internal/store/storetest", "server/internal/assess/corpus", "server/internal/assess/learn"}

// neverReach holds promises about whole closures: assess must not reach anything that could be a model or a network.
var neverReach = map[string][]string{
	"server/internal/assess": {"net", "net/http", "os", "github.com/tmc/langchaingo", "server/internal/suggest", "server/internal/store"},
	"realtime":               {"server"},
	"server/internal/store":  {"server/internal/envelope"},
	// What is not approved under FIPS stays with the browser and with tests.
	"server/internal/envelope": {"golang.org/x/crypto", "filippo.io/age"},
}

// pureAlso are nouns that an innermost package may not import either: config would bring the environment in.
var pureAlso = map[string][]string{
	"server/internal/triage": nouns, "server/internal/logkey": nouns, "server/internal/config": nouns,
	"realtime": nouns, "realtime/phoenix": nouns, "realtime/internal/echoserver": nouns, "realtime/internal/memory": nouns,
}

// edges returns what the non-test files below root import: package folder → import paths, ours without the module's name.
func edges(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "bench" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("parse %s: %w", path, err)
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if _, ok := found[pkg]; !ok {
			found[pkg] = nil
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[pkg] = append(found[pkg], strings.TrimPrefix(imp, module))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func ours(imp string) bool {
	return imp == "server" || strings.HasPrefix(imp, "server/") || imp == "realtime" || strings.HasPrefix(imp, "realtime/")
}

// wrongEdges returns a sentence for each edge that the rule does not allow.
func wrongEdges(found map[string][]string) []string {
	var wrong []string
	for pkg, imports := range found {
		allowed, listed := mayImport[pkg]
		if !listed {
			wrong = append(wrong, pkg+" is not in mayImport: add it with what it may import")
			continue
		}
		for _, imp := range imports {
			if !ours(imp) {
				continue
			}
			noun := slices.Contains(nouns, imp) && !slices.Contains(pureAlso[pkg], imp)
			free := slices.Contains(allowed, "*") && (!development(imp) || pkg == "server/e2e")
			if !noun && !free && !slices.Contains(allowed, imp) {
				wrong = append(wrong, pkg+" imports "+imp)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func development(imp string) bool {
	return slices.ContainsFunc(developmentOnly, func(d string) bool { return imp == d || strings.HasPrefix(imp, d+"/") })
}

// reach returns every package that pkg's closure over our own packages imports, with the path that leads there.
func reach(found map[string][]string, pkg string) map[string]string {
	seen := map[string]string{}
	var visit func(string, string)
	visit = func(p, way string) {
		for _, imp := range found[p] {
			if _, ok := seen[imp]; ok {
				continue
			}
			seen[imp] = way + " → " + imp
			visit(imp, seen[imp])
		}
	}
	visit(pkg, pkg)
	return seen
}

func wrongReach(found map[string][]string) []string {
	var wrong []string
	for pkg, never := range neverReach {
		for imp, way := range reach(found, pkg) {
			for _, n := range never {
				if imp == n || strings.Contains(n, "/") && strings.HasPrefix(imp, n+"/") || n == "server" && strings.HasPrefix(imp, "server/") {
					wrong = append(wrong, way)
				}
			}
		}
	}
	for imp, way := range reach(found, "server") {
		if development(imp) {
			wrong = append(wrong, way)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func TestImportDirection(t *testing.T) {
	t.Parallel()
	found := edges(t, "..")
	if len(found) < 10 {
		t.Fatalf("only %d packages were found: the walk is broken", len(found))
	}
	for _, w := range wrongEdges(found) {
		t.Error(w)
	}
	for _, w := range wrongReach(found) {
		t.Errorf("must not be reached: %s", w)
	}
}

// TestImportDirectionFailsOnAWrongEdge proves the rule on edges that must not exist.
func TestImportDirectionFailsOnAWrongEdge(t *testing.T) {
	t.Parallel()
	for sentence, found := range map[string]map[string][]string{
		"assess reaches a model":            {"server/internal/assess": {"server/internal/suggest"}},
		"realtime knows the server":         {"realtime": {"server/internal/logkey"}},
		"bus knows replication":             {"server/internal/bus": {"server/internal/replication"}},
		"main carries the stand-in":         {"server": {"server/standin"}},
		"a new package without a rule":      {"server/internal/util": nil},
		"triage reads the configuration":    {"server/internal/triage": {"server/internal/config"}},
		"the pipeline writes SQL by itself": {"server/internal/pipeline": {"server/internal/store"}},
	} {
		if len(wrongEdges(found)) == 0 {
			t.Errorf("%s: no failure", sentence)
		}
	}
	for sentence, found := range map[string]map[string][]string{
		"assess reaches the network by a detour": {"server/internal/assess": {"server/internal/triage"}, "server/internal/triage": {"net/http"}},
		"main reaches pgtest by a detour":        {"server": {"server/internal/cli"}, "server/internal/cli": {"server/pgtest"}},
	} {
		if len(wrongReach(found)) == 0 {
			t.Errorf("%s: no failure", sentence)
		}
	}
}
