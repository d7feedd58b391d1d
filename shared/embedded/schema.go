package embedded

import (
	"database/sql/driver"
	_ "embed"
	"fmt"
)

// migrations lead from one user_version to the next. Files in use depend on them: append, never change one.
var migrations = []string{version1, version2}

var (
	//go:embed version1.sql
	version1 string
	//go:embed version2.sql
	version2 string
)

// migrate brings the file up to this release's version. It refuses a newer release's file and leaves it as it is.
func migrate(c *conn) error {
	var version int
	if err := c.row("PRAGMA user_version", func(v []driver.Value) { version = int(integer(v[0])) }); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("file has version %d, this program knows %d: use a newer program", version, len(migrations))
	}
	for i, m := range migrations[version:] {
		if err := c.run(fmt.Sprintf("BEGIN;%s;PRAGMA user_version = %d;COMMIT", m, version+i+1)); err != nil {
			return fmt.Errorf("migrate to version %d: %w", version+i+1, err)
		}
	}
	return nil
}
