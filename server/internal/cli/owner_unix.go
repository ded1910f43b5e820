//go:build unix

package cli

import (
	"os"
	"syscall"
)

// ownedByAnother says that root looks at another user's folder: files that root made there the sidecar could not open.
func ownedByAnother(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Geteuid() == 0 && s.Uid != 0
}
