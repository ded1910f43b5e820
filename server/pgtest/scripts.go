package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
)

// Script is one SQL file. Name is its path below the repository.
type Script struct{ Name, SQL string }

// Platform returns what a hosted project has before the first migration: server/standin/platform/*.sql, in order of name.
// They are read from the repository that holds the working directory.
func Platform() ([]Script, error) { return scriptsIn("server/standin/platform") }

// Migrations returns sql/migrations/*.sql, in order of name.
func Migrations() ([]Script, error) { return scriptsIn("sql/migrations") }

// scriptsIn returns nothing for a folder that is empty or absent.
func scriptsIn(folder string) ([]Script, error) {
	root, err := ModuleRoot()
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*.sql")) // sorted
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	scripts := make([]Script, 0, len(names))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", folder, err)
		}
		scripts = append(scripts, Script{Name: folder + "/" + filepath.Base(name), SQL: string(data)})
	}
	return scripts, nil
}
