package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/uuid"
)

// files keeps objects' bytes, each under the version that its row names, never under what somebody called it.
type files struct {
	mu        sync.Mutex
	dir       string
	temporary bool
	made      bool
}

// folder is where the files are; it is made at the first call.
func (f *files) folder() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made {
		return f.dir, nil
	}
	var err error
	if f.dir == "" {
		f.dir, err = os.MkdirTemp("", "vigil-storage-")
		f.temporary = err == nil
	} else {
		err = os.MkdirAll(f.dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("storage: make the folder of objects: %w", err)
	}
	f.made = true
	return f.dir, nil
}

func (f *files) path(version string) (string, error) {
	id, err := uuid.Parse(version)
	if err != nil {
		return "", fmt.Errorf("storage: read an object's version: %w", err)
	}
	dir, err := f.folder()
	return filepath.Join(dir, id.String()), err
}

// keep writes what it reads, up to most bytes: tooLarge, and nothing is kept, if there are more.
func (f *files) keep(version string, from io.Reader, most int64) (size int64, err error) {
	path, err := f.path(version)
	if err != nil {
		return 0, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // a UUID in a folder of our own
	if err != nil {
		return 0, fmt.Errorf("storage: keep an object: %w", err)
	}
	size, err = io.Copy(file, io.LimitReader(from, most+1))
	err = errors.Join(err, file.Close())
	if err == nil && size > most {
		err = tooLarge()
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	return size, nil
}

// open gives an object's bytes; noSuchKey where they are gone.
func (f *files) open(version string) (*os.File, error) {
	path, err := f.path(version)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path) //nolint:gosec // a UUID in a folder of our own
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noSuchKey()
	}
	if err != nil {
		return nil, fmt.Errorf("storage: open an object: %w", err)
	}
	return file, nil
}

// drop removes an object's bytes; that they are gone already is fine.
func (f *files) drop(version string) error {
	path, err := f.path(version)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("storage: remove an object: %w", err)
	}
	return nil
}

func (f *files) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.temporary {
		_ = os.RemoveAll(f.dir) // a temporary folder: what is left, the system clears
	}
}
