package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	"modernc.org/sqlite"
)

// A conn is one connection to the file. It is not safe for concurrent use.
//
// It uses the driver without database/sql, which would add locks, a goroutine and several allocations to each of some
// ten thousand statements a second.
type conn struct {
	c     driver.Conn
	stmts []*stmt
}

// A stmt is a prepared statement of one conn.
type stmt struct {
	text  string
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	close func() error
	args  []driver.NamedValue
	found []driver.Value
}

// Page caches of the connections, in KiB. SQLite as it is compiled here (SQLITE_ENABLE_MEMORY_MANAGEMENT) has one pool
// of pages for all connections of a process and limits the sum: what one connection does not use another takes. So
// none is left at SQLite's default of 2000.
const (
	writerCache     = 4096
	readerCache     = 96
	checkpointCache = 64
	lockCache       = 8
)

// openConn opens the file path with a page cache of cache KiB and the given pragmas.
func openConn(ctx context.Context, path string, cache int, pragmas ...string) (*conn, error) {
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path}).String())
	if err != nil {
		return nil, err
	}
	dc, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{c: dc}
	for _, p := range append(pragmas, fmt.Sprintf("cache_size = -%d", cache)) {
		if err := c.run("PRAGMA " + p); err != nil {
			c.close()
			return nil, fmt.Errorf("pragma %s: %w", p, err)
		}
	}
	return c, nil
}

// prepare returns the statement text, which lives as long as c. A LIMIT in it must be "LIMIT +?": SQLite plans by the
// value of a bare parameter and would compile the statement again whenever one is bound.
func (c *conn) prepare(text string) (*stmt, error) {
	s, err := c.c.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, err)
	}
	exec, _ := s.(driver.StmtExecContext)
	query, _ := s.(driver.StmtQueryContext)
	if exec == nil || query == nil {
		return nil, fmt.Errorf("prepare %q: driver takes no context", text)
	}
	st := &stmt{text: text, exec: exec, query: query, close: s.Close}
	c.stmts = append(c.stmts, st)
	return st, nil
}

// prepareAll prepares each text and stores the statement where its key points.
func (c *conn) prepareAll(targets map[**stmt]string) error {
	for target, text := range targets {
		s, err := c.prepare(text)
		if err != nil {
			return err
		}
		*target = s
	}
	return nil
}

// run executes text once; it may be several statements.
func (c *conn) run(text string, args ...any) error {
	return c.each(text, func([]driver.Value) error { return nil }, args...)
}

// each executes text once and calls fn for each row, as stmt.each does.
func (c *conn) each(text string, fn func(row []driver.Value) error, args ...any) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	defer func() {
		s.close()
		c.stmts = c.stmts[:len(c.stmts)-1]
	}()
	return s.each(fn, args...)
}

// row is each for a text that returns one row, or none.
func (c *conn) row(text string, fn func(row []driver.Value), args ...any) error {
	return c.each(text, func(v []driver.Value) error { fn(v); return nil }, args...)
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

// do executes s and returns how many rows it changed. Arguments are int64, string, []byte or nil.
func (s *stmt) do(args ...any) (int, error) {
	r, err := s.exec.ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, fmt.Errorf("%.40q: %w", s.text, err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// each executes s and calls fn for each row until fn returns an error, of which io.EOF means success. The row is valid
// until fn returns; what its values point to stays valid.
func (s *stmt) each(fn func(row []driver.Value) error, args ...any) (err error) {
	rows, err := s.query.QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return fmt.Errorf("%.40q: %w", s.text, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if s.found == nil {
		s.found = make([]driver.Value, len(rows.Columns()))
	}
	for err == nil {
		if err = rows.Next(s.found); err == nil {
			err = fn(s.found)
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// row is each for a statement that returns one row, or none.
func (s *stmt) row(fn func(row []driver.Value), args ...any) error {
	return s.each(func(v []driver.Value) error { fn(v); return nil }, args...)
}

func (s *stmt) bind(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

// Columns that may be NULL read as the zero value.
func text(v driver.Value) string   { s, _ := v.(string); return s }
func blob(v driver.Value) []byte   { b, _ := v.([]byte); return b }
func integer(v driver.Value) int64 { n, _ := v.(int64); return n }

// orNull returns b as an argument, NULL if it is empty.
func orNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
