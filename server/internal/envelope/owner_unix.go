//go:build unix

package envelope

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives f the owner of the file at path, if there is one: root may change a key file of the user that runs vigil,
// who could not read it afterwards.
func keepOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	was, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 { // anybody else owns what they write
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}
