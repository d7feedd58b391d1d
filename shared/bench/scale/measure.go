package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A state is what became of a callback, as far as the gateway told.
type state uint8

const (
	underWay          state = iota
	refused                 // 429 of API Gateway
	throttledCallback       // no environment: 503
	failedCallback          // the gateway's 503
	acknowledged
	pending // a delivery row says so
	succeeded
	failed
	states
)

// A point is the whole gateway at a minute.
type point struct {
	at                    time.Duration
	waiting               float64 // messages of the events queue
	oldest                time.Duration
	retries, retriesLater float64
	concurrency           [4]float64 // ingest, events, retries, slow: the mean of the minute
	dueRows               float64
	oldestDue             time.Duration // as the last tick saw it
	moved                 float64       // rows that ticks wrote in the minute
	refused               float64
}

// begun is an event of which there is a row.
type begun struct {
	seq int
	key storage.Key
}

// measures are what is seen of a run.
type measures struct {
	start    time.Time
	sentAt   []time.Time // of each callback
	kindOf   []kind
	state    []state          // by callback
	event    map[string]begun // by id, while its delivery is not final
	arrivals []uint8          // how often each was accepted
	latency  [kinds][]time.Duration
	settled  [kinds][]time.Duration // of callbacks of the second half
	promised map[string]time.Time   // of the next attempt, by delivery
	lateness []time.Duration
	attempts [kinds]float64
	again    float64 // messages that a handler did not finish
	moved    float64
	due      time.Duration
	points   []point
	busy     [4]float64
	seconds  float64
	ticks    int
	cutOff   int // ticks that returned an error
}

func newMeasures() measures {
	return measures{event: map[string]begun{}, promised: map[string]time.Time{}}
}

// called notes a callback.
func (m *measures) called(now time.Time, k kind) {
	m.sentAt = append(m.sentAt, now)
	m.kindOf = append(m.kindOf, k)
	m.state = append(m.state, underWay)
	m.arrivals = append(m.arrivals, 0)
}

// arrived notes that an endpoint gets, and will accept, the event of a callback.
func (m *measures) arrived(w *world, seq int, k kind) {
	if m.arrivals[seq] == 0 {
		took := w.now().Sub(m.sentAt[seq])
		m.latency[k] = append(m.latency[k], took)
		if m.sentAt[seq].Sub(m.start) >= w.a.For/2 {
			m.settled[k] = append(m.settled[k], took)
		}
	}
	m.arrivals[seq]++
}

// posted notes an attempt.
func (m *measures) posted(w *world, r registration, event string) {
	m.attempts[r.kind] += w.n
	if at, ok := m.promised[r.id+event]; ok {
		m.lateness = append(m.lateness, max(w.now().Sub(at), 0))
	}
}

// wrote notes what a row says in place of another.
func (m *measures) wrote(w *world, was, r storage.Row) {
	switch seq := sequence(r.Body); {
	case r.PK[0] == 'E' && seq >= 0:
		m.event[r.SK] = begun{seq, r.Key}
	case strings.HasPrefix(r.PK, "D#"):
		m.delivery(w, was, r)
	}
}

// delivered is what the measures read of a delivery's row.
type delivered struct {
	Status gateway.Status
	Lost   int
	Made   int
	Start  time.Time
}

// delivery keeps when the next attempt was promised: a hand-out moves the row,
// not the promise.
func (m *measures) delivery(w *world, was, r storage.Row) {
	e, ok := m.event[r.SK]
	var d, before delivered
	if !ok || json.Unmarshal(r.Data, &d) != nil {
		return
	}
	json.Unmarshal(was.Data, &before) // nothing, if it is new
	id, _, _ := strings.Cut(strings.TrimPrefix(r.PK, "D#"), "#")
	id += r.SK
	switch d.Status {
	case gateway.Pending:
		m.state[e.seq] = pending
		if before.Status == "" || d.Lost == 0 || d.Made != before.Made {
			m.promised[id] = d.Start
		}
		return
	case gateway.Succeeded:
		m.state[e.seq] = succeeded
	default:
		m.state[e.seq] = failed
	}
	delete(m.promised, id)
	delete(m.event, r.SK)
	w.finals[len(w.finals)-1] = append(w.finals[len(w.finals)-1], r.Key, e.key)
}

// A ledger is the Metrics of Retry.
type ledger struct{ w *world }

// Add implements gateway.Metrics.
func (l ledger) Add(name gateway.Metric, v float64) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if name == gateway.DueAge {
		l.w.m.due = time.Duration(v * float64(time.Second))
	}
}

func (m *measures) ticked(err error) {
	m.ticks++
	if err != nil {
		m.cutOff++
	}
}

// concurrency is called each second.
func (m *measures) concurrency(w *world) {
	for i, busy := range []int{w.ingest.busy, w.events.busy, w.retries.busy, w.slow.busy} {
		m.busy[i] += float64(busy) * w.n
	}
	m.seconds++
}

// sample is called each minute.
func (m *measures) sample(w *world) {
	p := point{
		at: w.now().Sub(m.start), waiting: float64(len(w.events.waiting)) * w.n, oldest: w.events.oldest(),
		retries: float64(len(w.retries.waiting)) * w.n, retriesLater: float64(len(w.retries.later)) * w.n, oldestDue: m.due,
	}
	for _, shard := range w.tables.due {
		p.dueRows += float64(len(shard)) * w.n
	}
	for i := range p.concurrency {
		p.concurrency[i] = m.busy[i] / max(m.seconds, 1)
	}
	p.refused = m.count(w, refused, throttledCallback, failedCallback)
	p.moved = m.moved
	for _, before := range m.points {
		p.moved -= before.moved
	}
	m.busy, m.seconds = [4]float64{}, 0
	m.points = append(m.points, p)
}

// count returns how many callbacks of the whole are in one of some states.
func (m *measures) count(w *world, in ...state) float64 {
	n := 0.0
	for _, s := range m.state {
		if slices.Contains(in, s) {
			n++
		}
	}
	return n * w.n
}

// conserved returns nil if nothing was lost: each callback that was
// acknowledged has a delivery that was accepted, or waits for its time, or is in
// a queue or its dead letters; and none of the others reached anybody. Nothing
// may be under way any more.
func (m *measures) conserved(w *world) error {
	queued := make([]bool, len(m.state))
	for _, q := range w.queues() {
		for _, msg := range slices.Concat(q.waiting, q.dead, q.later) {
			if seq := sequence([]byte(msg.body)); seq >= 0 {
				queued[seq] = true
			}
		}
	}
	due, probed := map[string]bool{}, map[string]bool{}
	for _, shard := range w.tables.due {
		for _, d := range shard {
			due[d.SK] = true
			probed[d.PK] = true
		}
	}
	for k := range w.tables.rows { // what is parked waits for the probe of its registration
		if id, isDelivery := strings.CutPrefix(k.PK, "D#"); isDelivery {
			registration, _, _ := strings.Cut(id, "#")
			due[k.SK] = due[k.SK] || probed[gateway.HealthKey(registration).PK]
		}
	}
	waits := make([]bool, len(m.state))
	for id, e := range m.event {
		waits[e.seq] = due[id]
	}
	for seq, s := range m.state {
		var broken string
		switch {
		case s == underWay:
			broken = "was never answered"
		case s == refused || s == throttledCallback:
			if m.arrivals[seq] > 0 || queued[seq] {
				broken = "was refused, and yet taken in"
			}
		case s == acknowledged && !queued[seq]:
			broken = "was acknowledged, and is nowhere"
		case s == pending && !waits[seq]:
			broken = "is pending, does not fall due, and is not probed"
		case s == succeeded && m.arrivals[seq] == 0:
			broken = "succeeded, and did not arrive"
		}
		if broken != "" {
			return fmt.Errorf("callback %d of %v %s", seq, m.kindOf[seq], broken)
		}
	}
	return nil
}
