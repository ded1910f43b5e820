//go:build !unix

package bus

import (
	"fmt"
	"math"
	"os"
)

// lockDir only opens the file: this system has no advisory lock that ends with the process.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return f, nil
}

// freeBytes does not know: JetStream's own refusal is what is left.
func freeBytes(string) (uint64, error) { return math.MaxUint64, nil }
