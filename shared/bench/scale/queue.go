package main

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"ringback/shared/storage"
)

// SQS and the event source mapping that polls it.
const (
	sqsTime        = 10 * time.Millisecond
	visibility     = 200 * time.Second // of template.yaml
	pollersAtFirst = 5                 // "Configuring scaling behavior for SQS event source mappings": starts with five batches…
	pollersAMinute = 300               // …and adds up to 300 a minute while messages are left
	inFlightAtMost = 120_000           // "Amazon SQS message quotas"
	slowBatch      = 50                // BatchSize of the slow queue, of template.yaml
	batchWindow    = time.Second
	pollersMove    = time.Second // how often pollers are added or given up
)

// A message is one of a queue.
type message struct {
	number   int // of all that were sent
	body     string
	receives int
	since    time.Time // sent, or its delay was over
}

// A queue is an SQS queue with its dead letters and its mapping.
type queue struct {
	w        *world
	name     storage.QueueName
	most     float64   // workers of the whole at once
	batch    int       // messages an invocation, at most
	waiting  []message // the first comes first: near enough to a standard queue
	later    []message // delayed; in no order
	inFlight map[*message]bool
	dead     []message

	pollers  float64 // concurrency that the mapping has grown to, of the whole
	busy     int     // invocations, of the sample
	requests float64 // billed
	fair     float64 // those that sent with a message group
}

// newQueue makes the queue and its mapping. Where the sample leaves less than one
// worker of it, that one takes a part of a batch.
func (w *world) newQueue(name storage.QueueName, most float64, batch int) *queue {
	part := min(most/w.n, 1)
	return &queue{
		w: w, name: name, inFlight: map[*message]bool{}, pollers: min(pollersAtFirst, most),
		most: most, batch: max(int(math.Round(part*float64(batch))), 1),
	}
}

// add makes m receivable after a delay. The caller holds w.mu.
func (q *queue) add(m message, delay time.Duration) {
	if delay <= 0 {
		m.since = q.w.now()
		q.waiting = append(q.waiting, m)
		q.pump()
		return
	}
	q.later = append(q.later, m)
	time.AfterFunc(delay, func() {
		q.w.mu.Lock()
		defer q.w.mu.Unlock()
		q.later = slices.DeleteFunc(q.later, func(other message) bool { return other.number == m.number })
		q.add(m, 0)
	})
}

// oldest returns how long the first message waits.
func (q *queue) oldest() time.Duration {
	if len(q.waiting) == 0 {
		return 0
	}
	return q.w.now().Sub(q.waiting[0].since)
}

// scale moves the pollers for a second. The caller holds w.mu.
func (q *queue) scale() {
	step := pollersAMinute / 60.0 * pollersMove.Seconds()
	if len(q.waiting) > 0 {
		q.pollers = min(q.pollers+step, q.most)
	} else if float64(q.busy)*q.w.n < q.pollers/2 {
		q.pollers = max(q.pollers-step, min(pollersAtFirst, q.most))
	}
	q.pump()
}

// pump begins as many invocations as there are messages and room for. The
// caller holds w.mu.
func (q *queue) pump() {
	w := q.w
	slots := max(int(q.pollers/w.n+0.5), 1)
	for q.ready() && q.busy < slots && !w.over && float64(len(q.inFlight))*w.n < inFlightAtMost {
		slot, cold, ok := w.worker.begin()
		if !ok {
			return // the mapping backs off; scale comes back to it
		}
		batch := q.receive()
		q.busy++
		w.running.Go(func() { q.invoke(slot, cold, batch) })
	}
}

// ready reports whether there is a batch. One of more than ten messages is
// gathered for up to a second ("MaximumBatchingWindowInSeconds").
func (q *queue) ready() bool {
	return len(q.waiting) > 0 && (q.batch <= storage.MaxSend || len(q.waiting) >= q.batch || q.oldest() >= batchWindow)
}

// receive takes a batch out; what was received too often is a dead letter.
func (q *queue) receive() []*message {
	var batch []*message
	for len(q.waiting) > 0 && len(batch) < q.batch {
		m := q.waiting[0]
		q.waiting = q.waiting[1:]
		if m.receives++; m.receives > storage.MaxReceives {
			q.dead = append(q.dead, m)
			continue
		}
		q.inFlight[&m] = true
		batch = append(batch, &m)
	}
	return batch
}

// invoke runs the handler for a batch. In the whole, one of n of a batch's
// messages would be of a sampled source: so each goes to another environment.
func (q *queue) invoke(slot int, cold bool, batch []*message) {
	w := q.w
	received := w.now()
	time.Sleep(sqsTime + invokeTime)
	start := w.now()
	if cold {
		time.Sleep(coldTime)
	}
	ctx, cancel := context.WithTimeout(context.Background(), workerTime-queueMargin)
	defer cancel()
	var failed sync.Map
	var parts sync.WaitGroup
	each := max(len(batch)/w.a.Sample, 1)
	for first := 0; first < len(batch); first += each {
		part := batch[first:min(first+each, len(batch))]
		turn := time.Duration(first+len(part)) * w.cpu(w.a.CPU)
		parts.Go(func() {
			time.Sleep(turn) // one environment has one core's share for all of a batch
			q.handle(ctx, slot, part, &failed)
		})
	}
	parts.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	killed := w.now().Sub(start) > workerTime
	for _, m := range batch {
		delete(q.inFlight, m)
		if _, again := failed.Load(m); again || killed {
			w.m.again += w.n
			q.add(*m, max(received.Add(visibility).Sub(w.now()), time.Millisecond))
		}
	}
	q.requests += 2 * w.n * math.Ceil(float64(len(batch))/storage.MaxSend) // receive and delete, ten at a time
	q.busy--
	w.worker.end(slot, start)
	q.pump()
}

func (q *queue) handle(ctx context.Context, slot int, part []*message, failed *sync.Map) {
	w := q.w
	ms := make([]storage.Received, len(part))
	for i, m := range part {
		ms[i] = storage.Received{Body: m.body, Receipt: string(rune('a' + i)), Receives: m.receives}
	}
	w.mu.Lock()
	g := w.worker.environment(slot, w.chance("environment", strconv.Itoa(part[0].number)), w.thinned(part[0].body) > 1, worker)
	w.mu.Unlock()
	h := map[storage.QueueName]storage.Handler{
		storage.EventsQueue: g.FanOut, storage.RetryQueue: g.Redeliver, storage.SlowQueue: g.RedeliverSlow,
	}[q.name]
	again, err := h(ctx, ms)
	for i, m := range part {
		if err != nil {
			failed.Store(m, true)
		}
		for _, receipt := range again {
			if receipt == ms[i].Receipt {
				failed.Store(m, true)
			}
		}
	}
}
