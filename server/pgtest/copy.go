package pgtest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyTree copies a folder with its modes and symbolic links, and makes owner the owner of every file. to must not exist.
func copyTree(from, to string, owner account) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			err = os.Mkdir(target, info.Mode().Perm())
		case entry.Type() == fs.ModeSymlink:
			var link string
			if link, err = os.Readlink(name); err == nil {
				err = os.Symlink(link, target)
			}
		case entry.Type().IsRegular():
			err = copyFile(name, target, info.Mode().Perm())
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", name)
		}
		if err != nil {
			return err
		}
		return owner.give(target)
	})
}

// copyFile lets the kernel copy where it can (io.Copy between files).
func copyFile(from, to string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
