package main

import (
	"strconv"
	"time"

	"ringback/shared/gateway"
)

// Lambda.
const (
	growthEach   = 1000             // environments of a function…
	growthTime   = 10 * time.Second // …in so long ("Lambda function scaling": 1,000 every 10 s per function)
	coldTime     = 300 * time.Millisecond
	fullCore     = 1769.0 // MB that come with one vCPU ("Configure Lambda function memory")
	invokeTime   = 10 * time.Millisecond
	workerTime   = 30 * time.Second // Timeout of template.yaml
	firstAttempt = time.Second      // FIRST_ATTEMPT there
	retryTime    = 50 * time.Second
	queueMargin  = 2 * time.Second // of cloud.SQS and cloud.Schedule
	httpMargin   = 300 * time.Millisecond
	ingestTime   = 10 * time.Second
	ingestOwnCPU = 500 * time.Microsecond // of a callback, at a full core: handler, SQS request, TLS
)

// A function is one Lambda function. A slot of it stands for as many
// environments as one source stands for sources.
type function struct {
	w       *world
	gateway map[int]*gateway.Gateway // by environment
	free    []int                    // slots, the one that rests longest first
	slots   int
	busy    int
	growth  *bucket

	peak        float64 // of concurrency
	throttled   float64 // invocations
	invocations float64
	gbSeconds   float64
}

func (w *world) newFunction() *function {
	grow := growthEach / growthTime.Seconds() / w.n
	return &function{w: w, gateway: map[int]*gateway.Gateway{}, growth: newBucket(grow, growthEach/w.n)}
}

// begin takes a slot, and says whether it is a new one. The caller holds w.mu.
func (f *function) begin() (slot int, cold, ok bool) {
	w := f.w
	if float64(w.ingest.busy+w.worker.busy+w.retry.busy+1)*w.n > max(w.a.Account, w.n) {
		f.throttled += w.n
		return 0, false, false
	}
	if len(f.free) > 0 {
		slot, f.free = f.free[0], f.free[1:]
	} else {
		if !f.growth.take(1, w.now()) {
			f.throttled += w.n
			return 0, false, false
		}
		slot, cold = f.slots, true
		f.slots++
	}
	f.busy++
	f.peak = max(f.peak, float64(f.busy)*w.n)
	return slot, cold, true
}

// end gives a slot back after an invocation that began at start. The caller
// holds w.mu.
func (f *function) end(slot int, start time.Time) {
	f.free = append(f.free, slot)
	f.busy--
	f.invocations += f.w.n
	billed := (f.w.now().Sub(start) + time.Millisecond - 1).Truncate(time.Millisecond)
	f.gbSeconds += billed.Seconds() * f.w.a.Memory / 1024 * f.w.n
}

// environment returns the gateway of one of the n environments that a slot
// stands for, which a number in [0,1) chooses. What is thinned always goes to the
// first, which so gets as much of it as each would in full. The caller holds w.mu.
func (f *function) environment(slot int, chance float64, thinned bool, kind role) *gateway.Gateway {
	n := slot * f.w.a.Sample
	if !thinned {
		n += int(chance * f.w.n)
	}
	g := f.gateway[n]
	if g == nil {
		g = f.w.newGateway(kind, strconv.Itoa(n))
		f.gateway[n] = g
	}
	return g
}

// cpu returns how long work that takes so long at a full core takes in a
// function.
func (w *world) cpu(full time.Duration) time.Duration {
	return time.Duration(float64(full) * max(fullCore/w.a.Memory, 1))
}
