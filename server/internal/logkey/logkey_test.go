package logkey_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"vigil/server/internal/logkey"
)

// TestEveryConstantIsAllowed keeps the list that the handler asks equal to the constants, and the constants sorted.
func TestEveryConstantIsAllowed(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "logkey.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		key, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, key)
		if !logkey.Allowed(key) {
			t.Errorf("%q is a constant but not allowed", key)
		}
		return true
	})
	if len(names) < 20 || !slices.IsSorted(names) {
		t.Errorf("constants are too few or not sorted: %v", names)
	}
	for _, key := range []string{"text", "body", "email", "token", "name", "password", ""} {
		if logkey.Allowed(key) {
			t.Errorf("%q is allowed", key)
		}
	}
}
