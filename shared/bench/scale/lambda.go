package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// Lambda, SQS and event source mappings; what has no source here is of template.yaml. Functions are warm, and mappings
// have their full concurrency, as after some minutes.
const (
	fullCore     = 1769.0 // MB that come with one vCPU ("Configure Lambda function memory")
	ingestCPU    = 500 * time.Microsecond
	workerCPU    = 700 * time.Microsecond // of an event, at a full core
	invokeTime   = 10 * time.Millisecond
	sqsTime      = 10 * time.Millisecond                 // of a call
	ingestTime   = 10*time.Second - 300*time.Millisecond // Timeout, less the margin of cloud.HTTP
	workerTime   = 30*time.Second - queueMargin
	retryTime    = 50*time.Second - queueMargin
	queueMargin  = 2 * time.Second // of cloud.SQS and cloud.Schedule
	firstAttempt = time.Second     // FIRST_ATTEMPT
	visibility   = 200 * time.Second
	slowBatch    = 50          // BatchSize of the slow queue
	batchWindow  = time.Second // MaximumBatchingWindowInSeconds, of batches of more than ten
)

// A function is one Lambda function. A slot stands for as many environments as one source stands for sources.
type function struct {
	w           *world
	name        string
	gateways    map[int]*gateway.Gateway // by environment
	free        []int                    // slots, the one that rests longest first
	slots, busy int
	busyTime    time.Duration // of all slots
}

// begin takes a slot, if the account has executions left. The caller holds w.mu.
func (f *function) begin() (slot int, ok bool) {
	w := f.w
	if float64(w.ingest.busy+w.worker.busy+1)*w.n > max(w.s.Executions, w.n) {
		w.lacked += w.n
		return 0, false
	}
	f.busy++
	if len(f.free) == 0 {
		f.slots++
		return f.slots - 1, true
	}
	slot, f.free = f.free[0], f.free[1:]
	return slot, true
}

// end gives a slot back after an invocation that began at start. The caller holds w.mu.
func (f *function) end(slot int, start time.Time) {
	f.free = append(f.free, slot)
	f.busy--
	f.busyTime += time.Since(start)
}

// environment returns the gateway of one of the n environments that a slot stands for. What is of the busy source always
// goes to the first, which so gets as much of it as each would in full. The caller holds w.mu.
func (f *function) environment(slot, number int, ofBusy bool) *gateway.Gateway {
	i := slot * f.w.s.Sample
	if !ofBusy {
		i += f.w.random(fmt.Sprint(f.name, number)).IntN(f.w.s.Sample)
	}
	if f.gateways[i] == nil {
		f.gateways[i] = f.w.newGateway(fmt.Sprint(f.name, i))
	}
	return f.gateways[i]
}

// cpu returns how long work takes in a function that takes so long at a full core.
func (w *world) cpu(full time.Duration) time.Duration {
	return time.Duration(float64(full) * max(fullCore/w.s.Memory, 1))
}

// A message is one of a queue.
type message struct {
	number   int // of all that were sent
	body     string
	receives int
	since    time.Time // sent, or its delay was over
}

// A queue is an SQS queue with its mapping.
type queue struct {
	w       *world
	handler func(*gateway.Gateway, context.Context, []storage.Received) ([]string, error)
	workers int               // of the sample, at once
	batch   int               // messages of an invocation, at most
	held    map[*message]bool // all
	waiting []*message        // receivable; the first comes first: near enough to a standard queue
	busy    int               // invocations, of the sample
}

// add makes m receivable after a delay. The caller holds w.mu.
func (q *queue) add(m *message, delay time.Duration) {
	q.held[m] = true
	if delay > 0 {
		time.AfterFunc(delay, func() {
			q.w.mu.Lock()
			defer q.w.mu.Unlock()
			q.add(m, 0)
		})
		return
	}
	m.since = time.Now()
	q.waiting = append(q.waiting, m)
	q.pump()
}

// pump begins as many invocations as there are batches and room for. The caller holds w.mu.
func (q *queue) pump() {
	for len(q.waiting) > 0 && (q.batch <= storage.MaxSend || len(q.waiting) >= q.batch || time.Since(q.waiting[0].since) >= batchWindow) {
		if q.w.over || q.busy >= q.workers {
			return
		}
		slot, ok := q.w.worker.begin()
		if !ok {
			return // the mapping backs off; run comes back to it, each second
		}
		batch := slices.Clone(q.waiting[:min(q.batch, len(q.waiting))])
		q.waiting = q.waiting[len(batch):]
		q.busy++
		q.w.running.Go(func() { q.invoke(slot, batch) })
	}
}

// invoke runs the handler for a batch. In the whole, one of n of a batch's messages would be of a sampled source: so
// each n-th goes to another environment, in its turn, since an environment has one core's share for all of a batch.
func (q *queue) invoke(slot int, batch []*message) {
	w, again := q.w, time.Now().Add(visibility)
	time.Sleep(sqsTime + invokeTime)
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), workerTime)
	defer cancel()
	var parts sync.WaitGroup
	for i, part := range slices.Collect(slices.Chunk(batch, max(len(batch)/w.s.Sample, 1))) {
		parts.Go(func() {
			time.Sleep(time.Duration((i+1)*len(part)) * w.cpu(workerCPU))
			q.handle(ctx, slot, part, again)
		})
	}
	parts.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	q.busy--
	w.worker.end(slot, start)
	q.pump()
}

// handle gives a part of a batch to the gateway. What that does not finish comes again; a run is too short for dead letters.
func (q *queue) handle(ctx context.Context, slot int, part []*message, again time.Time) {
	ms := make([]storage.Received, len(part))
	for i, m := range part {
		m.receives++
		ms[i] = storage.Received{Body: m.body, Receipt: strconv.Itoa(i), Receives: m.receives}
	}
	q.w.mu.Lock()
	g := q.w.worker.environment(slot, part[0].number, q.w.uses(part[0].body) > 1)
	q.w.mu.Unlock()
	unfinished, err := q.handler(g, ctx, ms)
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	for i, m := range part {
		if delete(q.held, m); err != nil || slices.Contains(unfinished, ms[i].Receipt) {
			q.add(m, time.Until(again))
		}
	}
}
