package envelope

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// KeySource hands out the analysis keys. FileSource and TextSource are the two that exist; one that asks a key management
// service to unwrap them fits behind it. The first key is the one to put on new rosters; the others still open old epochs.
type KeySource interface {
	Keys(ctx context.Context) ([]*Device, error)
}

// ErrKeyFileMode is returned for a key file that others than its owner may read.
var ErrKeyFileMode = errors.New("key file may be read by others: chmod 600")

// maxKeyFileBytes bounds what is read of a key file: some hundred keys.
const maxKeyFileBytes = 64 << 10

// keyFileMode lets its owner alone read and write it.
const keyFileMode fs.FileMode = 0o600

// FileSource reads analysis keys from a file of mode 0600: one key as Device.Marshal writes it, or an array of them.
type FileSource struct{ Path string }

// Keys reads the file anew at each call. A file that others may read is ErrKeyFileMode; a missing one fs.ErrNotExist; one
// that holds no keys ErrFormat.
func (s FileSource) Keys(context.Context) ([]*Device, error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read key file: %w", ErrKeyFileMode)
	}
	if info.Size() > maxKeyFileBytes {
		return nil, fmt.Errorf("key file of %d bytes: %w", info.Size(), ErrFormat)
	}
	data := make([]byte, info.Size())
	defer Wipe(data)
	n, err := f.ReadAt(data, 0)
	if err != nil && n < len(data) {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	return ParseKeys(data)
}

// TextSource holds the text of a key file, as an environment variable carries it. Only package config reads the environment.
type TextSource struct{ Text string }

// Keys parses the text; ErrFormat if it holds no keys.
func (s TextSource) Keys(context.Context) ([]*Device, error) {
	data := []byte(s.Text)
	defer Wipe(data) // the text itself stays, as the environment does
	return ParseKeys(data)
}

// String hides the keys.
func (s TextSource) String() string { return "[redacted]" }

// GoString hides the keys.
func (s TextSource) GoString() string { return "[redacted]" }

// ParseKeys reads a key file: one key or an array of at least one, each kid once; else ErrFormat.
func ParseKeys(data []byte) ([]*Device, error) {
	var list []keyJSON
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := decodeJSON("key file", trimmed, &list); err != nil {
			return nil, err
		}
	} else {
		list = make([]keyJSON, 1)
		if err := decodeJSON("key file", trimmed, &list[0]); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("key file holds no key: %w", ErrFormat)
	}
	keys := make([]*Device, 0, len(list))
	seen := make(map[[16]byte]bool, len(list))
	for i, k := range list {
		d, err := k.device()
		if err != nil {
			return nil, fmt.Errorf("key %d of the key file: %w", i, err)
		}
		if seen[d.kid] {
			return nil, fmt.Errorf("key %d of the key file is there twice: %w", i, ErrFormat)
		}
		seen[d.kid] = true
		keys = append(keys, d)
	}
	return keys, nil
}

// WriteKeyFile writes keys to a new file of mode 0600, on disk before it returns; an existing file is never replaced
// (fs.ErrExist). One key is written as an object, several as an array.
func WriteKeyFile(path string, keys ...*Device) error {
	data, err := marshalKeys(keys)
	if err != nil {
		return err
	}
	defer Wipe(data)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFileMode)
	if err != nil {
		return fmt.Errorf("create key file: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write key file: %w", errors.Join(err, removeFile(path)))
	}
	return syncDir(filepath.Dir(path))
}

// marshalKeys is what a key file holds: the caller wipes it.
func marshalKeys(keys []*Device) ([]byte, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("write key file: no key: %w", ErrFormat)
	}
	parts := make([]json.RawMessage, 0, len(keys))
	for _, d := range keys {
		data, err := d.Marshal()
		if err != nil {
			return nil, err
		}
		defer Wipe(data)
		parts = append(parts, data)
	}
	if len(parts) == 1 {
		return append(append([]byte(nil), parts[0]...), '\n'), nil
	}
	data, err := json.MarshalIndent(parts, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write key file: %w", err)
	}
	if len(data) >= maxKeyFileBytes { // it could not be read again
		return nil, fmt.Errorf("key file of %d keys: %w", len(keys), ErrFormat)
	}
	return append(data, '\n'), nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove half a key file: %w", err)
	}
	return nil
}

// syncDir makes the new name itself durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open folder of key file: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync folder of key file: %w", err)
	}
	return nil
}

// decodeJSON decodes exactly one JSON value. encoding/json's errors quote their input, so they are dropped.
func decodeJSON(field string, data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s is not the JSON it should be: %w", field, ErrFormat)
	}
	return nil
}
