package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Check looks whether Open would find the bus as it was left. Of an embedded bus it changes nothing: no store is moved
// aside, no key is made; nil as well when there is no store yet. On a cluster it makes the streams where there are none, as
// Open does. ErrLocked: a running sidecar has the store, and is asked instead.
func Check(ctx context.Context, c Config) error {
	if err := c.setDefaults(); err != nil {
		return err
	}
	if c.URL != "" {
		b, err := openCluster(ctx, c)
		if err != nil {
			return err
		}
		return errors.Join(b.Health(ctx), b.Close(ctx))
	}
	if _, err := os.Stat(filepath.Join(c.Dir, storeName, readyName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(filepath.Join(c.Dir, lockName))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // held for the check only
	if _, err := os.Stat(filepath.Join(c.Dir, keyName)); c.Key == "" && err != nil {
		return fmt.Errorf("%w: the key file is missing", ErrDamaged)
	}
	key, err := loadKey(c)
	if err != nil {
		return err
	}
	b, err := openStore(ctx, c, key, true)
	if err != nil && !c.mayHeal(err) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	return errors.Join(b.Health(ctx), b.Close(ctx))
}
