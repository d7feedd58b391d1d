package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/storage"
)

// A failing context has ended when it is asked after a number of times, and at no
// other time. Each connection asks once.
type failing struct {
	context.Context
	left *atomic.Int32
}

func (c failing) Err() error {
	if c.left.Add(-1) == -1 {
		return context.Canceled
	}
	return nil
}

// TestOpenFailsWithEachOfItsConnections fails the first connection alone, the
// second and so on. What was opened is closed again, the lock included.
func TestOpenFailsWithEachOfItsConnections(t *testing.T) {
	const connections = 3 + readers // the lock's, the writer's, the checkpoint's
	dir := t.TempDir()
	for n := range int32(connections) {
		var left atomic.Int32
		left.Store(n)
		if db, err := Open(failing{t.Context(), &left}, dir, Options{}); db != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("Open where a connection after %d fails = %v, %v, want %v", n, db, err, context.Canceled)
		}
		wantClosed(t, dir)
	}
	db, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatalf("Open after those that failed = %v", err)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	if err := db.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	wantClosed(t, dir)
}

// wantClosed wants that the last connection has removed the log, as each does
// that is closed with all of its statements, and that no file is held open where
// the system tells.
func wantClosed(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"*-wal", "*-shm", "*-journal"} {
		if left, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(left) > 0 {
			t.Errorf("%v are left, %v, want no file of an open connection", left, err)
		}
	}
	held, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range held {
		if file, err := os.Readlink(fd); err == nil && strings.HasPrefix(file, dir+"/") {
			t.Errorf("%s is open still", file)
		}
	}
}

// TestLockThatIsHeldIsToldApart holds the lock as far as reading it is possible.
func TestLockThatIsHeldIsToldApart(t *testing.T) {
	dir := t.TempDir()
	holder, err := openConn(t.Context(), filepath.Join(dir, "ringback.lock"), lockCache)
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.run("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if db, err := Open(t.Context(), dir, Options{}); db != nil || err == nil || !strings.Contains(err.Error(), "another process uses this folder") {
		t.Fatalf("Open = %v, %v, want a word about another runner", db, err)
	}
	if err := holder.close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, dir)
	openTest(t, dir, Options{})
}

func TestVisibilityIsThatOfTheOptions(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: DefaultVisibility, 1: 1, time.Hour: time.Hour} {
		db := openTest(t, t.TempDir(), Options{Visibility: given, Relaxed: true})
		for _, name := range queueNames {
			if got := db.queue(name).visibility; got != want {
				t.Errorf("opened with the visibility timeout %v, queue %s has %v, want %v", given, name, got, want)
			}
		}
	}
}

// TestFolderThatIsNotAStoreIsNotOpened puts what is none where the store should
// be. Nothing holds the folder afterwards.
func TestFolderThatIsNotAStoreIsNotOpened(t *testing.T) {
	made := fmt.Sprint("; PRAGMA user_version = ", len(migrations))
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"a folder as lock", func(dir string) error { return os.Mkdir(filepath.Join(dir, "ringback.lock"), 0o700) }, "lock"},
		{"no database as lock", func(dir string) error { return writeGarbage(dir, "ringback.lock") }, "not a database"},
		{"a folder as file", func(dir string) error { return os.Mkdir(filepath.Join(dir, "ringback.db"), 0o700) }, "unable to open"},
		{"no database as file", func(dir string) error { return writeGarbage(dir, "ringback.db") }, "not a database"},
		{"a table that is there before", func(dir string) error { return execute(dir, "CREATE TABLE rows (tbl)") }, "migrate to version 1"},
		{"no queues", func(dir string) error { return execute(dir, migrations[0]+"DROP TABLE queues"+made) }, "queue events"},
		{"no messages of the second queue", func(dir string) error { return execute(dir, migrations[0]+"DROP TABLE retry_messages"+made) }, "queue retry"},
		{"no rows", func(dir string) error { return execute(dir, migrations[0]+"DROP TABLE rows"+made) }, "rows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), dir, Options{})
			if db != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Open = %v, %v, want an error with %q", db, err, tt.want)
			}
			wantClosed(t, dir)
			for _, name := range []string{"ringback.lock", "ringback.db"} {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			openTest(t, dir, Options{})
		})
	}
}

func writeGarbage(dir, name string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("no database ", 1000)), 0o600)
}

// execute makes the file of a store by other statements.
func execute(dir, text string) error {
	c, err := openConn(context.Background(), filepath.Join(dir, "ringback.db"), lockCache, "journal_mode = WAL")
	if err != nil {
		return err
	}
	return errors.Join(c.run(text), c.close())
}

func TestFolderWithoutAPlaceIsNotOpened(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(gone)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if db, err := Open(t.Context(), "relative", Options{}); db != nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "getwd") {
		t.Errorf("Open in a folder that is gone = %v, %v, want %v", db, err, os.ErrNotExist)
	}
}

func TestFolderIsOfItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	openTest(t, dir, Options{})
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("new folder: %v, %v, want no right for others", info.Mode(), err)
	}
}

// TestReaderNeedsAllTables leaves out one table after the other.
func TestReaderNeedsAllTables(t *testing.T) {
	for _, drop := range []string{"", "rows", "events_messages", "retry_messages", "slow_messages"} {
		dir := t.TempDir()
		text := strings.Join(migrations, "")
		if drop != "" {
			text += "DROP TABLE " + drop
		}
		if err := execute(dir, text); err != nil {
			t.Fatal(err)
		}
		r, err := openReader(t.Context(), filepath.Join(dir, "ringback.db"), nil)
		if (err == nil) != (drop == "") || (r == nil) != (err != nil) {
			t.Errorf("openReader of a file without the table %q = %v, %v", drop, r, err)
		}
		if r != nil {
			r.conn.close()
		}
		wantClosed(t, dir)
	}
}

// TestConnectionWithABadPragmaIsClosed has one take the file for itself before.
func TestConnectionWithABadPragmaIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	c, err := openConn(t.Context(), path, lockCache, "user_version = 1; BEGIN EXCLUSIVE", "(")
	if c != nil || err == nil || !strings.Contains(err.Error(), "pragma (") {
		t.Fatalf("openConn = %v, %v, want an error that names the pragma", c, err)
	}
	if c, err = openConn(t.Context(), path, lockCache, "user_version = 2"); err != nil {
		t.Fatalf("openConn after one that failed = %v", err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}

func TestStatementThatCannotBePreparedIsNamed(t *testing.T) {
	c, err := openConn(t.Context(), filepath.Join(t.TempDir(), "file"), lockCache)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var s *stmt
	if err := c.prepareAll(map[**stmt]string{&s: "SELECT nothing"}); err == nil || s != nil || !strings.Contains(err.Error(), "SELECT nothing") {
		t.Errorf("prepareAll = %v and %v, want an error that names the statement", err, s)
	}
	if err := c.prepareAll(map[**stmt]string{&s: "SELECT 1"}); err != nil || s == nil {
		t.Errorf("prepareAll = %v and %v, want a statement", err, s)
	}
}

// A bare driver prepares statements that lack a method.
type bare struct {
	driver.Conn
	stmt driver.Stmt
}

func (b bare) Prepare(string) (driver.Stmt, error) { return b.stmt, nil }

type (
	noContext struct{ driver.Stmt }
	execOnly  struct {
		driver.Stmt
		driver.StmtExecContext
	}
	queryOnly struct {
		driver.Stmt
		driver.StmtQueryContext
	}
)

func TestDriverMustTakeContexts(t *testing.T) {
	for _, s := range []driver.Stmt{noContext{}, execOnly{}, queryOnly{}} {
		if got, err := (&conn{c: bare{stmt: s}}).prepare("SELECT 1"); got != nil || err == nil {
			t.Errorf("prepare by a driver with %T = %v, %v, want an error", s, got, err)
		}
	}
}

// mute drivers prepare nothing.
type mute struct{ driver.Conn }

func (mute) Prepare(string) (driver.Stmt, error) { return nil, errBroken }

func TestVersionThatCannotBeReadIsAnError(t *testing.T) {
	if err := migrate(&conn{c: mute{}}); !errors.Is(err, errBroken) || strings.Contains(err.Error(), "migrate") {
		t.Errorf("migrate = %v, want %v before any migration", err, errBroken)
	}
}

// TestMigrationsAreDoneOneByOne opens a file of today with a program that knows
// three more, of which the last fails.
func TestMigrationsAreDoneOneByOne(t *testing.T) {
	was := migrations
	defer func() { migrations = was }()
	dir := t.TempDir()
	reopen := func() error {
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			return err
		}
		return db.Close()
	}
	if err := reopen(); err != nil {
		t.Fatal(err)
	}
	known := int64(len(was))
	migrations = append(slices.Clone(was), "CREATE TABLE a (x)", "CREATE TABLE b AS SELECT * FROM a", "CREATE TABLE b (x)")
	if err, want := reopen(), fmt.Sprint("migrate to version ", known+3); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want an error with %q", err, want)
	}
	migrations = migrations[:known+2]
	db := openTest(t, dir, Options{Relaxed: true})
	if got := ask(t, db, "PRAGMA user_version"); got != known+2 {
		t.Errorf("the file has version %d, want %d", got, known+2)
	}
}

// TestFileOfTheFormerSchemaKeepsItsMessages opens one that the first release
// wrote, with a message of each kind in both of its queues.
func TestFileOfTheFormerSchemaKeepsItsMessages(t *testing.T) {
	text := migrations[0]
	for _, q := range []string{"events", "retry"} {
		text += "INSERT INTO " + q + "_messages VALUES (2, '" + q + " new', 0, NULL), (3, '" + q + " received', 1, 5000), (4, '" + q + " delayed', 0, 6000);" +
			"INSERT INTO " + q + "_dead VALUES (1, '" + q + " dead', 0);" +
			"UPDATE queues SET handed = 1, total = 3, dead = 1 WHERE name = '" + q + "';"
	}
	dir := t.TempDir()
	if err := execute(dir, text+"PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	db := openTest(t, dir, Options{Relaxed: true})
	mustSend(t, db, storage.SlowQueue, storage.Message{Body: "slow new", Group: "g"})
	for _, name := range queueNames {
		want := storage.Depth{Waiting: 3, Dead: 1}
		bodies := []string{string(name) + " delayed", string(name) + " new", string(name) + " received"}
		if name == storage.SlowQueue {
			want, bodies = storage.Depth{Waiting: 1}, []string{"slow new"}
		}
		wantDepth(t, db, name, want)
		if got := receiveAll(t, db, name); !slices.Equal(got, bodies) {
			t.Errorf("received %q, want %q", got, bodies)
		}
	}
}

// uncertain executes statements without knowing how many rows they change.
type uncertain struct{}

func (uncertain) LastInsertId() (int64, error) { return 0, errBroken }
func (uncertain) RowsAffected() (int64, error) { return 0, errBroken }

func TestStatementThatCannotTellItsRowsFails(t *testing.T) {
	s := &stmt{exec: execFunc(func(context.Context, []driver.NamedValue) (driver.Result, error) { return uncertain{}, nil })}
	if n, err := s.do(); n != 0 || !errors.Is(err, errBroken) {
		t.Errorf("do = %d, %v, want %v", n, err, errBroken)
	}
}

// unclosed rows fail when they are closed.
type unclosed struct{ oneRow }

func (*unclosed) Close() error { return errBroken }

func TestRowsThatCannotBeClosedFail(t *testing.T) {
	s := &stmt{query: queryFunc(func() (driver.Rows, error) { return &unclosed{oneRow{values: []driver.Value{"a"}}}, nil })}
	if err := s.each(func([]driver.Value) error { return nil }); !errors.Is(err, errBroken) {
		t.Errorf("each = %v, want %v", err, errBroken)
	}
}

func TestRowsAreReadIntoOnePlace(t *testing.T) {
	s := &stmt{query: queryFunc(func() (driver.Rows, error) { return &oneRow{values: []driver.Value{"a"}}, nil })}
	var places []*driver.Value
	for range 2 {
		if err := s.each(func(v []driver.Value) error { places = append(places, &v[0]); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(places) != 2 || places[0] != places[1] {
		t.Errorf("two rows were read to %v, want one place", places)
	}
}

// sour connections fail when they are closed, after that.
type sour struct{ driver.Conn }

func (s sour) Close() error { return errors.Join(errBroken, s.Conn.Close()) }

// TestCloseTellsWhichConnectionFailed fails the closing of one after the other,
// and of a statement.
func TestCloseTellsWhichConnectionFailed(t *testing.T) {
	for name, choose := range map[string]func(db *DB) *conn{
		"lock":       func(db *DB) *conn { return db.lock },
		"writer":     func(db *DB) *conn { return db.writer.conn },
		"checkpoint": func(db *DB) *conn { return db.checkpoint.conn },
		"reader": func(db *DB) *conn {
			r := <-db.readers
			defer r.release()
			return r.conn
		},
	} {
		for _, spoil := range []func(*conn){
			func(c *conn) { c.c = sour{c.c} },
			func(c *conn) {
				s, err := c.prepare("SELECT 1")
				if err != nil {
					t.Fatal(err)
				}
				closing := s.close
				s.close = func() error { return errors.Join(errBroken, closing()) }
			},
		} {
			dir := t.TempDir()
			db, err := Open(t.Context(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			spoil(choose(db))
			if err := db.Close(); !errors.Is(err, errBroken) {
				t.Errorf("Close while the connection of the %s fails = %v, want %v", name, err, errBroken)
			}
			wantClosed(t, dir)
		}
	}
}
