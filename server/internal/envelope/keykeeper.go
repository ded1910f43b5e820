package envelope

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
)

// KeyKeeper is a KeySource that can be changed: what rotation and destruction need. FileSource is one; TextSource refuses
// both with ErrReadOnly, for only whoever set the variable can change it. One that keeps keys with a key management service
// fits behind it.
type KeyKeeper interface {
	KeySource
	// Add puts a key first: it is the one for new rosters. The others stay. It is durable when Add returns.
	Add(ctx context.Context, d *Device) error
	// Remove takes a key away for good. A key that is not there is no error.
	Remove(ctx context.Context, kid uuid.UUID) error
}

var (
	// ErrReadOnly is returned by a KeyKeeper whose keys stand in the environment.
	ErrReadOnly = errors.New("these keys come from the environment, which only whoever set it can change")
	// ErrKeyFileBusy is returned while another process changes the key file, or after one was cut off in the midst of it.
	ErrKeyFileBusy = errors.New("another process is changing the key file, or was cut off while it did: if none is, remove the file beside it that ends in .new")
	// ErrLastKey is returned instead of removing the only key: a file without one cannot be told from a lost one.
	ErrLastKey = errors.New("it is the only key: add another first")
)

var (
	_ KeyKeeper = FileSource{}
	_ KeyKeeper = TextSource{}
)

// Add puts d first in the file, and makes the file if there is none. Refusals beside those of Keys: ErrKeyFileBusy;
// fs.ErrExist for a kid that is there already.
func (s FileSource) Add(ctx context.Context, d *Device) error {
	err := s.change(ctx, func(keys []*Device) ([]*Device, error) {
		if slices.ContainsFunc(keys, func(k *Device) bool { return k.kid == d.kid }) {
			return nil, fs.ErrExist
		}
		return append([]*Device{d}, keys...), nil
	})
	if err != nil {
		return fmt.Errorf("add key %s: %w", d.kid, err)
	}
	return nil
}

// Remove rewrites the file without the key: ErrLastKey if it is the only one, ErrKeyFileBusy. The file's former blocks are the
// file system's, and backups are the operator's: neither is overwritten here.
func (s FileSource) Remove(ctx context.Context, kid uuid.UUID) error {
	err := s.change(ctx, func(keys []*Device) ([]*Device, error) {
		kept := slices.DeleteFunc(slices.Clone(keys), func(k *Device) bool { return k.kid == kid })
		if len(kept) == 0 && len(keys) > 0 {
			return nil, ErrLastKey
		}
		if len(kept) == len(keys) {
			return nil, errUnchanged
		}
		return kept, nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("remove key %s: %w", kid, err)
	}
	return nil
}

var errUnchanged = errors.New("unchanged")

// change replaces the file by one with other keys. The new file is made under a fixed name that only one process can make:
// from then on until the rename nobody else changes the keys, so that none is lost between the reading and the writing. A
// reader sees the old file or the new one, whole.
func (s FileSource) change(ctx context.Context, change func([]*Device) ([]*Device, error)) error {
	if target, err := filepath.EvalSymlinks(s.Path); err == nil {
		s.Path = target // a rename would replace the link
	}
	next := s.Path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFileMode)
	if errors.Is(err, fs.ErrExist) {
		return ErrKeyFileBusy
	}
	if err != nil {
		return fmt.Errorf("create key file: %w", err)
	}
	err = s.write(ctx, f, change)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(next, s.Path)
	}
	if err != nil {
		return errors.Join(err, removeFile(next))
	}
	return syncDir(filepath.Dir(s.Path))
}

// write fills the new file and puts it on disk.
func (s FileSource) write(ctx context.Context, f *os.File, change func([]*Device) ([]*Device, error)) error {
	keys, err := s.Keys(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	data, err := marshalKeys(keys)
	if err != nil {
		return err
	}
	defer Wipe(data)
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if err := keepOwner(f, s.Path); err != nil {
		return fmt.Errorf("give the new key file the owner of the old: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}

// Add is ErrReadOnly.
func (s TextSource) Add(context.Context, *Device) error { return ErrReadOnly }

// Remove is ErrReadOnly.
func (s TextSource) Remove(context.Context, uuid.UUID) error { return ErrReadOnly }
