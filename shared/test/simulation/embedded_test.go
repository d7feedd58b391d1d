package simulation

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"ringback/shared/embedded"
	"ringback/shared/storage"
)

// onFile reports whether a seed is played on the embedded backend: one of fifty,
// since that takes a hundred times as long.
func onFile(seed uint64) bool { return seed%50 == 49 }

// inFile is the embedded backend, with one process at a time.
type inFile struct {
	w       *world
	dir     string
	db      *embedded.DB
	known   map[storage.Key]bool // rows that were written
	itself  *process             // whose calls the file's own are
	stop    context.CancelFunc
	serving sync.WaitGroup
	looked  time.Time // when idle last looked
}

func newInFile(w *world) *inFile {
	f := &inFile{w: w, dir: cmp.Or(w.plan.exits, w.t.TempDir()), known: map[storage.Key]bool{}, itself: &process{role: "file"}}
	f.open()
	return f
}

func (f *inFile) open() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	var err error
	if f.db, err = embedded.Open(ctx, f.dir, embedded.Options{Relaxed: true}); err != nil {
		f.w.t.Fatal(err)
	}
	for _, name := range queues {
		f.serving.Go(func() {
			f.db.Serve(ctx, name, embedded.Consumer{Handler: f.handler(name), Concurrency: f.w.plan.concurrent, Timeout: workerTimeout - queueMargin})
		})
	}
}

// handler is the handler of whatever process there is when a batch comes.
func (f *inFile) handler(name storage.QueueName) storage.Handler {
	return func(ctx context.Context, ms []storage.Received) (again []string, err error) {
		var p *process
		f.w.park(context.Background(), f.itself, "receive of "+string(name), ms[0].Receipt+ms[0].Body, func() { p = f.w.process("worker") })
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.ctx, cancel)()
		again, err = p.g.Handlers()[name](inner, ms)
		p.do(context.Background(), "delete of "+string(name), ms[0].Receipt, func() {})
		return again, err
	}
}

// lost closes the file and opens it again, as the next process does, or exits
// instead, or opens the file that was left by a simulation that did.
func (f *inFile) lost(*process) {
	w := f.w
	if len(w.hit) > 0 && w.plan.exits != "" {
		w.exit()
	}
	f.close()
	if len(w.hit) > 0 && w.plan.finds != "" {
		f.dir, w.plan.finds = w.found(), ""
	}
	f.open()
}

// close waits for the handlers of the process that has ended: each ends at its
// next call.
func (f *inFile) close() {
	f.stop()
	ended := make(chan struct{})
	go func() {
		f.serving.Wait()
		close(ended)
		select {
		case f.w.wake <- struct{}{}:
		default:
		}
	}()
	for over := false; !over; {
		f.w.settle(f.w.takes)
		for _, c := range slices.Clone(f.w.parked) {
			if c.process.ended || c.process == f.itself {
				f.w.pass(c, endsBefore)
			}
		}
		select {
		case <-ended:
			over = true
		case <-f.w.wake:
		}
	}
	if err := f.db.Close(); err != nil {
		f.w.t.Error(err)
	}
}

func (f *inFile) store() storage.Store { return knownRows{f.db, f} }
func (f *inFile) queue() storage.Queue { return f.db }

func (f *inFile) poll() bool                     { return false } // the file's queue serves itself
func (f *inFile) nextArrival() (none time.Time)  { return none }
func (f *inFile) firstDue() time.Time            { return time.Now() } // it may be: it looks each minute
func (f *inFile) nothingDue(int, time.Time) bool { return false }

// knownRows notes which rows were written.
type knownRows struct {
	storage.Store
	f *inFile
}

func (s knownRows) Put(ctx context.Context, r storage.Row, was string) error {
	s.f.known[r.Key] = true
	return s.Store.Put(ctx, r, was)
}

func (f *inFile) all(t storage.Table, pk string) []storage.Row {
	var out []storage.Row
	for k := range f.known {
		if k.Table == t && strings.HasPrefix(k.PK, pk) {
			rows, err := f.db.Get(context.Background(), k)
			if err != nil {
				f.w.t.Fatal(err)
			}
			out = append(out, rows...)
		}
	}
	slices.SortFunc(out, func(a, b storage.Row) int { return strings.Compare(a.PK+" "+a.SK, b.PK+" "+b.SK) })
	return out
}

// idle looks once after each tick.
func (f *inFile) idle() bool {
	if f.looked.Equal(f.w.lastTick) {
		return false
	}
	f.looked = f.w.lastTick
	for _, name := range queues {
		if d, err := f.db.Depth(context.Background(), name); err != nil || d != (storage.Depth{}) {
			return false
		}
	}
	for shard := range storage.DueShards {
		rows, _, err := f.db.Due(context.Background(), shard, time.Now().Add(10*365*24*time.Hour), "", 1)
		if err != nil || len(rows) > 0 {
			return false
		}
	}
	return true
}
