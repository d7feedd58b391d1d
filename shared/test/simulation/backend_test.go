package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// visibility and limits of the queues and functions, as template.yaml has them.
const (
	visibility    = 180 * time.Second
	workerTimeout = 30 * time.Second
	retryTimeout  = 50 * time.Second
	apiTimeout    = 29 * time.Second
	ingestTimeout = 10 * time.Second
	queueMargin   = 2 * time.Second // of cloud.SQS and cloud.Schedule
)

// A backend keeps rows and messages over the lives of processes.
type backend interface {
	store() storage.Store
	queue() storage.Queue
	lost(p *process)                              // p has ended
	poll() bool                                   // hand out messages; true if some were
	nextArrival() time.Time                       // of a message or due row; zero: of none
	firstDue() time.Time                          // zero: nothing is due
	nothingDue(shard int, until time.Time) bool   // as rows.nothingDue
	all(t storage.Table, pk string) []storage.Row // rows whose PK begins so
	idle() bool                                   // no message is left and nothing is due
}

// inMemory is the model of both contracts.
type inMemory struct {
	*rows
	*messages
	w       *world
	flights []*flight

	laneWrites int                 // of rows of lanes
	opened     map[string]bool     // the PKs of the registrations of which the circuit opened
	appended   map[storage.Key]int // which of them put a delivery into its lane
	grown      map[storage.Key]int // which of them had a lane's Seq grow, last
}

// A flight is a batch of messages that a handler has.
type flight struct {
	process *process
	queue   storage.QueueName
	ms      []storage.Received
	over    bool
}

func newInMemory(w *world) *inMemory {
	return &inMemory{
		rows: newRows(), messages: newMessages(visibility), w: w,
		opened: map[string]bool{}, appended: map[storage.Key]int{}, grown: map[storage.Key]int{},
	}
}

func (m *inMemory) store() storage.Store { return m }
func (m *inMemory) queue() storage.Queue { return m }

// Put implements storage.Store.
func (m *inMemory) Put(ctx context.Context, r storage.Row, was string) error {
	before, _ := m.stored(r.Key)
	err := m.rows.Put(ctx, r, was)
	if err == nil && before.Rev != r.Rev {
		m.written(before, r)
	}
	return err
}

// Send implements storage.Queue.
func (m *inMemory) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := m.messages.Send(ctx, name, ms)
	for i, err := range errs {
		if err == nil && name == storage.EventsQueue {
			m.w.queued(ms[i].Body)
		}
	}
	return errs
}

// lost forgets what p had. A single process that starts again knows that nobody
// else has what was received; on AWS only time tells, or a message comes early.
func (m *inMemory) lost(p *process) {
	for _, f := range m.flights {
		if f.process == p && (m.w.plan.alone || m.w.plan.hasty) {
			m.reveal(f.queue, func(receipt string) bool {
				return slices.ContainsFunc(f.ms, func(r storage.Received) bool { return r.Receipt == receipt })
			}, time.Now())
		}
	}
	m.flights = slices.DeleteFunc(m.flights, func(f *flight) bool { return f.process == p })
}

// poll hands a batch of messages to a worker that is free.
func (m *inMemory) poll() bool {
	w := m.w
	var ready []storage.QueueName
	for _, name := range queues {
		if at, ok := m.firstVisible(name); ok && !at.After(time.Now()) {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 || !w.anyFree() {
		return false
	}
	name := pick(w.rng, ready...)
	ms := m.receive(name, 1+w.rng.IntN(storage.MaxSend), w.rng.IntN)
	if len(ms) == 0 {
		return true // they were dead letters
	}
	switch twin := !w.calm && w.plan.twins && w.rng.IntN(2) == 0; {
	case twin && name == storage.EventsQueue || !w.calm && w.rng.Float64() < w.plan.twice:
		m.reveal(name, func(receipt string) bool { return receipt == ms[0].Receipt }, time.Now())
	case twin:
		m.repeat(name, ms[0], time.Now().Add(workerTimeout+time.Duration(w.rng.Int64N(int64(5*time.Minute)))))
	}
	m.handle(&flight{process: w.freeWorker(), queue: name, ms: ms})
	return true
}

var queues = [...]storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue}

// anyFree reports whether a worker takes another batch.
func (w *world) anyFree() bool {
	busy := 0
	for _, p := range w.alive {
		if p.running >= w.plan.concurrent {
			busy++
		}
	}
	return busy < w.plan.workers
}

// freeWorker returns a worker that takes another batch, if there is any.
func (w *world) freeWorker() *process {
	n := w.rng.IntN(w.plan.workers)
	for i := range w.plan.workers {
		p := w.process(fmt.Sprint("worker ", (n+i)%w.plan.workers))
		if p.running < w.plan.concurrent {
			return p
		}
	}
	return nil
}

// handle runs a handler for a batch. A function that takes too long ends.
func (m *inMemory) handle(f *flight) {
	w, p := m.w, f.process
	m.flights = append(m.flights, f)
	p.running++
	w.say("process %d gets %d of %s", p.number, len(f.ms), f.queue)
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, workerTimeout-queueMargin)
		defer cancel()
		again, err := p.g.Handlers()[f.queue](ctx, f.ms)
		p.do(context.Background(), "delete of "+string(f.queue), f.ms[0].Receipt, func() {
			f.over = true
			p.running--
			m.flights = slices.DeleteFunc(m.flights, func(other *flight) bool { return other == f })
			if err == nil {
				m.delete(f, again)
			}
		})
	}()
	w.after(workerTimeout, func() {
		if !f.over && !p.ended {
			w.end(p)
		}
	})
}

// delete takes messages that were dealt with off their queue, if that succeeds.
func (m *inMemory) delete(f *flight, again []string) {
	w := m.w
	if !w.calm && (w.queueIs != works || w.rng.Float64() < w.plan.weakness.Lost) {
		return // they come again
	}
	m.finish(f.queue, f.ms, again)
	for _, r := range f.ms {
		if f.queue == storage.EventsQueue && !slices.Contains(again, r.Receipt) {
			m.finished(r.Body)
		}
	}
}

// nextArrival returns when a message can be received next.
func (m *inMemory) nextArrival() time.Time {
	var next time.Time
	if m.w.anyFree() {
		for _, name := range queues {
			if at, ok := m.firstVisible(name); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}

// tick runs Retry if a minute is over and anything may fall due.
func (w *world) tick() bool {
	at := w.nextTick()
	if at.IsZero() || at.After(time.Now()) {
		return false
	}
	w.lastTick = time.Now()
	p := w.process("retry")
	over := false
	w.say("process %d looks what falls due", p.number)
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, retryTimeout-queueMargin)
		defer cancel()
		p.g.Retry(ctx) // what fails is looked at again by the next one
		p.do(context.Background(), "end of retry", "", func() { over = true })
	}()
	w.after(retryTimeout, func() {
		if !over && !w.plan.alone && !p.ended {
			w.end(p)
		}
	})
	return true
}

// nextTick returns when Retry runs next: each minute, but not where it would
// find nothing; zero if nothing is due at all.
func (w *world) nextTick() time.Time {
	due := w.on.firstDue()
	if due.IsZero() {
		return due
	}
	soon, look := w.lastTick.Add(time.Minute), due.Add(-gateway.Lookahead-30*time.Second)
	if soon.Before(look) {
		return look
	}
	return soon
}

// idle reports whether no message and no due row is left.
func (m *inMemory) idle() bool {
	for _, name := range queues {
		if d, _ := m.Depth(context.Background(), name); d != (storage.Depth{}) {
			return false
		}
	}
	return len(m.flights) == 0 && m.firstDue().IsZero()
}
