package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ringback/shared/embedded"
	"ringback/shared/storage"
)

var (
	rateKey  = storage.Key{Table: storage.Registrations, PK: "R#reg_1", SK: "A"}
	leaseKey = storage.Key{Table: storage.Registrations, PK: "R#reg_1", SK: "B"}
)

func newStore(t *testing.T) *embedded.DB {
	t.Helper()
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// A fleet are processes that take the messages of one queue, each of them one that
// wants to make an attempt.
type fleet struct {
	came chan struct{} // one for each message that is ready

	mu       sync.Mutex
	ready    []bool      // messages that have come, and whether it is their turn
	delayed  int         // messages that have not
	begun    []time.Time // attempts
	most, at int         // attempts at once: the most, and now
	asked    int
	rng      *rand.Rand
	late     time.Duration // of a message beyond its time, at most
	took     time.Duration // an attempt
}

func newFleet(backlog int) *fleet {
	f := &fleet{rng: rand.New(rand.NewPCG(1, 2)), came: make(chan struct{}, backlog), ready: make([]bool, backlog), late: 400 * time.Millisecond}
	for range backlog {
		f.came <- struct{}{}
	}
	return f
}

// send puts a message into the queue that comes when turn is over, by whole seconds
// as SQS delays.
func (f *fleet) send(turn time.Time, inTurn bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delayed++
	delay := max(time.Until(turn)+time.Second-1, 0).Truncate(time.Second)
	time.AfterFunc(delay+time.Duration(f.rng.Int64N(int64(f.late)+1)), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.delayed--
		f.ready = append(f.ready, inTurn)
		f.came <- struct{}{}
	})
}

// take takes one of the messages that have come, of which f.came told, out of the
// queue, and returns whether it is its turn.
func (f *fleet) take() (inTurn bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.ready)
	i := f.rng.IntN(n)
	inTurn, f.ready[i] = f.ready[i], f.ready[n-1]
	f.ready = f.ready[:n-1]
	f.asked++
	return inTurn
}

// attempt makes an attempt.
func (f *fleet) attempt() {
	f.mu.Lock()
	f.begun = append(f.begun, time.Now())
	f.at++
	f.most = max(f.most, f.at)
	took := f.took
	f.mu.Unlock()
	time.Sleep(took)
	f.mu.Lock()
	f.at--
	f.mu.Unlock()
}

// within counts the attempts that begun in d from a time on.
func (f *fleet) within(from time.Time, d time.Duration) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.begun {
		if !at.Before(from) && at.Before(from.Add(d)) {
			n++
		}
	}
	return n
}

// waiting counts the messages that are delayed.
func (f *fleet) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.delayed
}

func (f *fleet) mostAtOnce() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// A process takes messages, so many at once, until the test is over.
type process struct {
	storage.Store
	f      *fleet
	limits *Limits
	mu     sync.Mutex
	thaws  chan struct{} // nil: it is not frozen
}

// start starts a process whose clock is ahead.
func (f *fleet) start(ctx context.Context, t *testing.T, s storage.Store, ahead time.Duration, atOnce int, turn Request) *process {
	p := &process{Store: s, f: f}
	p.limits = New(p, func() time.Time { return storage.UTC(time.Now().Add(ahead)) })
	for range atOnce {
		go func() {
			for p.next(ctx) {
				if err := p.handle(ctx, f.take(), turn, ahead); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}()
	}
	return p
}

// next waits for a message, and reports false when the test is over. What comes for a
// process that is frozen is for others.
func (p *process) next(ctx context.Context) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-p.f.came:
		}
		thaws := p.frozen()
		if thaws == nil {
			return true
		}
		p.f.came <- struct{}{}
		<-thaws
	}
}

func (p *process) handle(ctx context.Context, inTurn bool, turn Request, ahead time.Duration) error {
	turn.Reserved = inTurn
	leave, at, err := p.limits.Acquire(ctx, turn)
	switch {
	case err != nil:
		return err
	case leave != nil:
		p.f.attempt()
		leave()
	case at.IsZero():
		p.f.send(time.Now().Add(time.Second), inTurn)
	default:
		p.f.send(at.Add(-ahead), true)
	}
	return nil
}

func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thaws = make(chan struct{})
}

func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.thaws)
	p.thaws = nil
}

// frozen returns what is closed when p thaws; nil if it is not frozen.
func (p *process) frozen() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thaws
}

// stand stands still while p is frozen.
func (p *process) stand() {
	if thaws := p.frozen(); thaws != nil {
		<-thaws
	}
}

// Put takes a while on the way there and back; a process may freeze on both.
func (p *process) Put(ctx context.Context, r storage.Row, was string) error {
	time.Sleep(3 * time.Millisecond)
	p.stand()
	err := p.Store.Put(ctx, r, was)
	time.Sleep(3 * time.Millisecond)
	p.stand()
	return err
}
