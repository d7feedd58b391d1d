// Package embedded keeps rows and queues in one SQLite file, for a gateway that runs on one machine.
//
// One goroutine, the writer, owns the connection that changes the file. Calls that come while it syncs a commit share
// the next one (group commit), so that all of them share the cost of a sync. Reads use connections of their own and
// see every write whose call has returned.
//
// The files of this package in reading order: embedded.go opens and copies the file, schema.go and its SQL define it,
// writer.go commits; rows.go and list.go implement storage.Store; queue.go, send.go, serve.go, finish.go, load.go and
// take.go follow a message; sweep.go and checkpoint.go keep the files small, moved.go notices when they are moved.
package embedded

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"modernc.org/sqlite"

	"ringback/shared/storage"
)

// DefaultVisibility is how long a handler has a message for itself.
const DefaultVisibility = 180 * time.Second

// readers is how many reads run at the same time.
const readers = 4

var queueNames = [...]storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue}

// Options change how a file is used. The zero value suits most.
type Options struct {
	// Visibility is how long a handler has a message for itself before it can be received again; by default
	// DefaultVisibility.
	Visibility time.Duration

	// Relaxed lets a write return before it is synced to disk (synchronous=NORMAL): it then survives the end of the
	// process but not a power failure.
	Relaxed bool
}

// A DB is a storage.Store and a storage.Queue in one file. It is safe for concurrent use by one process.
type DB struct {
	writer     *writer
	readers    chan *reader // the free ones
	queues     map[storage.QueueName]*queue
	lock       *conn
	checkpoint *checkpoint
	opened     []func() error // closes what open opened, in its order
	closing    chan struct{}
	running    sync.WaitGroup
}

// Open opens ringback.db in the folder dir, making both if need be. Messages that an earlier process received and did
// not finish are visible at once. The error names the folder if another process uses it or a newer release wrote it.
func Open(ctx context.Context, dir string, opts Options) (*DB, error) {
	db := &DB{
		readers: make(chan *reader, readers),
		queues:  map[storage.QueueName]*queue{},
		closing: make(chan struct{}),
	}
	if err := db.open(ctx, dir, opts); err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, errors.Join(explained(err), db.closeConns()))
	}
	go db.writer.run()
	for _, q := range db.queues {
		db.running.Go(func() { q.load(db) })
	}
	db.running.Go(db.sweep)
	db.running.Go(db.checkpointLoop)
	return db, nil
}

// open takes the locks, then opens the writer, the checkpoint connection and the readers. What it has opened is in
// db.opened, which the caller closes after an error too. The locks come first, since two processes on one file would
// each trust their own memory of the queues.
func (db *DB) open(ctx context.Context, dir string, opts Options) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	folder, err := lockFolder(dir)
	if err != nil {
		return err
	}
	db.opened = append(db.opened, folder.Close)
	path, lockPath := filepath.Join(dir, "ringback.db"), filepath.Join(dir, "ringback.lock")
	if err := private(lockPath, lockPath+"-journal"); err != nil {
		return err
	}
	if db.lock, err = lock(ctx, lockPath); err != nil {
		return err
	}
	db.opened = append(db.opened, db.lock.close)
	if err := private(path, path+"-wal", path+"-shm"); err != nil {
		return err
	}
	if err := db.openWriter(ctx, path, opts); err != nil {
		return err
	}
	if db.checkpoint, err = openCheckpoint(ctx, path); err != nil {
		return err
	}
	db.opened = append(db.opened, db.checkpoint.conn.close)
	db.writer.walIsLong = db.checkpoint.due
	for range readers {
		r, err := openReader(ctx, path, db.readers)
		if err != nil {
			return err
		}
		db.opened = append(db.opened, func() error { return (<-db.readers).conn.close() })
		r.release()
	}
	db.writer.files, err = findFiles(dir)
	return err
}

// private makes path, a file of SQLite's, and those beside it readable by their owner alone; SQLite makes the latter
// with the mode of the former. It does not open existing files: closing one would drop this process's locks on it
// ("How To Corrupt An SQLite Database File").
func private(path string, beside ...string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	} else if errors.Is(err, os.ErrExist) {
		err = nil
	}
	for _, p := range append(beside, path) {
		if s, statErr := os.Stat(p); statErr == nil && s.Mode().Perm() != 0o600 {
			err = errors.Join(err, os.Chmod(p, 0o600))
		}
	}
	return err
}

// lock returns a connection that locks path until it is closed or the process ends.
func lock(ctx context.Context, path string) (*conn, error) {
	c, err := openConn(ctx, path, lockCache)
	if err == nil {
		if err = c.run("BEGIN EXCLUSIVE"); err == nil {
			return c, nil
		}
		c.close()
	}
	const busy = 5
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == busy {
		return nil, fmt.Errorf("%w: %w", errInUse, err)
	}
	return nil, fmt.Errorf("lock: %w", err)
}

// causes say, by SQLite's code ("Result and Error Codes"), why it cannot open a file, in an operator's words.
var causes = map[int]string{
	8:  "a file there is read-only",
	10: "its file system fails, or has no locks, as some network drives: use a disk of this machine",
	13: "the disk is full",
	14: "this user may not make files there, or the file system is read-only",
}

// explained puts the cause in front of an error of SQLite's.
func explained(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && causes[e.Code()&0xff] != "" {
		return fmt.Errorf("%s: %w", causes[e.Code()&0xff], err)
	}
	return err
}

// openWriter opens the connection that makes all changes, brings the schema up to date and loads the queues.
func (db *DB) openWriter(ctx context.Context, path string, opts Options) error {
	synchronous := "synchronous = FULL"
	if opts.Relaxed {
		synchronous = "synchronous = NORMAL"
	}
	// A page holds several events; larger ones would cost more for each single row that changes. A file keeps the page
	// size that it was made with.
	c, err := openConn(ctx, path, writerCache, "busy_timeout = 5000", "page_size = 8192", "journal_mode = WAL", synchronous,
		"wal_autocheckpoint = 0", fmt.Sprintf("journal_size_limit = %d", maxWALBytes))
	if err != nil {
		return err
	}
	db.writer = newWriter(c)
	db.opened = append(db.opened, c.close)
	if err := migrate(c); err != nil {
		return err
	}
	for _, name := range queueNames {
		q := &queue{name: name, visibility: cmp.Or(opts.Visibility, DefaultVisibility), inFlightBatches: list.New(), loader: make(chan struct{}, 1)}
		if name == storage.SlowQueue {
			q.perGroup = map[string]int{}
		}
		if err := errors.Join(q.prepare(c), q.recover(c)); err != nil {
			return fmt.Errorf("queue %s: %w", name, err)
		}
		db.queues[name] = q
		db.writer.queues = append(db.writer.queues, q)
	}
	return db.writer.stmts.prepare(c)
}

func (db *DB) queue(name storage.QueueName) *queue { return db.queues[name] }

// A barrier is a write that changes nothing: it settles when the writes before it are committed.
type barrier struct{ waiter }

func (barrier) apply(*writer) error { return nil }

// flush returns when all writes submitted before are committed.
func (db *DB) flush() error {
	n := barrier{make(waiter, 1)}
	if db.writer.hasBackground() {
		db.writer.submitBackground(n)
		if err := <-n.waiter; err != nil {
			return err
		}
	}
	db.writer.submit(n)
	return <-n.waiter
}

// Close commits what was submitted and closes the file. Later calls fail with storage.ErrUnavailable. Every Serve must
// have returned.
func (db *DB) Close() error {
	close(db.closing)
	db.running.Wait()
	db.writer.close()
	return db.closeConns()
}

// closeConns closes what open opened, each reader as soon as it is free. The writer's connection is the last on the
// file, so closing it moves the log there.
func (db *DB) closeConns() error {
	var errs []error
	for _, closing := range slices.Backward(db.opened) {
		errs = append(errs, closing())
	}
	return errors.Join(errs...)
}

// Backup copies the database in the folder dir into file, which must not exist and which its owner alone can read. A
// process that uses the folder keeps working; its log grows by what it writes meanwhile.
func Backup(ctx context.Context, dir, file string) error {
	path := filepath.Join(dir, "ringback.db")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("back up: %w", err) // SQLite would make an empty one
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err := errors.Join(copyInto(ctx, path, file), out.Sync(), out.Close()); err != nil {
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
