package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup copies the database in the folder dir into file, which must not be there, and which its owner alone
// can read. A process that uses the folder goes on meanwhile; its log grows by what it writes.
func Backup(ctx context.Context, dir, file string) error {
	path := filepath.Join(dir, "ringback.db")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("back up: %w", err) // else an empty one would be made
	}
	to, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err := errors.Join(copyInto(ctx, path, file), to.Sync(), to.Close()); err != nil {
		return fmt.Errorf("back up %s: %w", path, errors.Join(err, os.Remove(file)))
	}
	return nil
}

func copyInto(ctx context.Context, path, file string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	c, err := openConn(ctx, path, readerCache, "busy_timeout = 5000")
	if err != nil {
		return err
	}
	return errors.Join(c.run("VACUUM INTO ?", file), c.close())
}
