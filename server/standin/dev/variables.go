package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// variables is the file that holds what `vigil doctor` and `vigil replay` are told, while the stack runs.
func (s *stack) variables() string { return filepath.Join(s.data, "dev.env") }

// writeVariables writes them as a shell reads them. Passwords and keys are among them: nobody else may read the file.
func (s *stack) writeVariables() error {
	var b strings.Builder
	b.WriteString("# The development stack that runs now; removed when it stops. Use: set -a; . dev.env; set +a\n")
	address, operator := strings.TrimPrefix(s.sidecar.url, "http://"), strings.TrimPrefix(s.sidecar.operator, "http://")
	for _, variable := range append(s.environment(), s.settings(address, operator)...) {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&b, "%s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	if err := s.removeVariables(); err != nil { // one that stands keeps its mode
		return err
	}
	if err := os.WriteFile(s.variables(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write the variables (is the disk full?): %w", err)
	}
	return nil
}

func (s *stack) removeVariables() error {
	if err := os.Remove(s.variables()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the variables: %w", err)
	}
	return nil
}

// shown is a path as it is typed at the top of the repository.
func (s *stack) shown(path string) string {
	short, err := filepath.Rel(s.root, path)
	if err != nil || strings.HasPrefix(short, "..") {
		return path
	}
	return short
}
