package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"ringback/shared/bench/quantile"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// States of a callback, as far as the gateway told; once there is a delivery, that has one of its own.
const (
	noEnvironment = "503 for want of an execution"
	unavailable   = "503 of the gateway"
	acknowledged  = "acknowledged"
)

type callback struct {
	sent     time.Time
	settled  bool // sent in the second half
	state    string
	delivery storage.Key
	arrived  bool // an endpoint got it, and will accept it
}

// A ledger is what is seen of a run.
type ledger struct {
	callbacks []callback
	events    map[string]int  // number of the callback by event
	took      []time.Duration // from the callback to an endpoint that accepts, of the second half
	retries   []error         // of the runs of Retry
	verdict   string
}

// arrived notes that an endpoint gets, and will accept, the event of a callback.
func (w *world) arrived(number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.callbacks[number]
	if !c.arrived && c.settled {
		w.took = append(w.took, time.Since(c.sent))
	}
	c.arrived = true
}

// wrote notes what a row says. The caller holds w.mu.
func (w *world) wrote(r storage.Row) {
	if number := numberIn(r.Body); r.PK[0] == 'E' && number >= 0 {
		w.events[r.SK] = number
	}
	number, ok := w.events[r.SK]
	if d, err := storage.Decoded[struct{ Status gateway.Status }](r); ok && err == nil && strings.HasPrefix(r.PK, "D#") {
		w.callbacks[number].state, w.callbacks[number].delivery = string(d.Status), r.Key
	}
}

// latency returns quantiles in seconds.
func (w *world) latency() (p50, p99, longest float64) {
	slices.Sort(w.took)
	seconds := func(q float64) float64 { return quantile.Of(w.took, q) / float64(time.Second) }
	return seconds(0.5), seconds(0.99), seconds(1)
}

const carried = "carried"

// judge returns whether the load is carried at the end, and if not, what of the second half is not. The caller holds w.mu.
func (w *world) judge() string {
	const longest, most = 10 * time.Second, 0.001
	settled, waiting := 0.0, 0.0
	for _, c := range w.callbacks {
		switch {
		case !c.settled:
			continue
		case c.state == noEnvironment || c.state == unavailable:
			return "not carried: callbacks are not acknowledged"
		case c.state == acknowledged && time.Since(c.sent) > longest:
			waiting++
		}
		settled++
	}
	switch {
	case waiting > most*settled:
		return fmt.Sprintf("not carried: %.1f %% of the events wait for longer than %v", 100*waiting/settled, longest)
	case len(w.retries) > 0 && w.retries[len(w.retries)-1] != nil:
		return "not carried: Retry does not get through"
	}
	return carried
}

// conserved returns nil if nothing was lost: each callback that was acknowledged has a delivery that was accepted, or
// waits for its time, or is in a queue. Nothing may be under way any more.
func (w *world) conserved() error {
	queued := map[int]bool{}
	for m := range w.queues[storage.EventsQueue].held {
		queued[numberIn([]byte(m.body))] = true
	}
	for number, c := range w.callbacks {
		_, due := w.due[c.delivery]
		registration, _, _ := strings.Cut(strings.TrimPrefix(c.delivery.PK, "D#"), "#")
		_, probed := w.due[gateway.HealthKey(registration)] // what is parked waits for the probe of its registration
		if c.state == "" || c.state == acknowledged && !queued[number] || c.state == string(gateway.Pending) && !due && !probed ||
			c.state == string(gateway.Succeeded) && !c.arrived || c.state == noEnvironment && (c.arrived || queued[number]) {
			return fmt.Errorf("not conserved: callback %d, %s, arrived %v, queued %v, due %v, probed %v", number, c.state, c.arrived, queued[number], due, probed)
		}
	}
	return nil
}

func (w *world) print(out io.Writer) {
	states := map[string]int{}
	for _, c := range w.callbacks {
		states[c.state] += w.s.Sample
	}
	fmt.Fprintf(out, "callbacks   %d: %v\n", len(w.callbacks)*w.s.Sample, states)
	p50, p99, longest := w.latency()
	fmt.Fprintf(out, "latency     p50 %.2f s, p99 %.2f s, at most %.1f s, from a callback of the second half to its endpoint\n", p50, p99, longest)
	mean := func(f *function) float64 { return f.busyTime.Seconds() * w.n / w.s.For.Seconds() }
	fmt.Fprintf(out, "executions  for callbacks %.0f on average, %d at most; workers %.0f, %d; %.0f lacked\n",
		mean(w.ingest), w.ingest.slots*w.s.Sample, mean(w.worker), w.worker.slots*w.s.Sample, w.lacked)
	failed := slices.DeleteFunc(slices.Clone(w.retries), func(err error) bool { return err == nil })
	fmt.Fprintf(out, "Retry       %d runs, %d with an error %q\n", len(w.retries), len(failed), failed)
	fmt.Fprintf(out, "limits      units a second on average, of those there are; requests throttled\n")
	limits := slices.SortedFunc(maps.Values(w.limits), func(a, b *limit) int {
		return cmp.Or(cmp.Compare(b.used/b.most, a.used/a.most), cmp.Compare(a.name, b.name))
	})
	for _, l := range limits[:min(8, len(limits))] {
		fmt.Fprintf(out, "  %-50s %6.0f of %6.0f %8.0f\n", l.name, l.used/w.s.For.Seconds(), l.most, l.throttled)
	}
	fmt.Fprintf(out, "%s; conserved: each callback that was acknowledged was delivered, is due, or is in a queue\n", w.verdict)
}
