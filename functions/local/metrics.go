package main

import (
	"context"
	"fmt"
	"io"
	measured "runtime/metrics"
	"slices"
	"strconv"
	"sync"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// metrics implements gateway.Metrics. It counts since the start of the process and is safe for concurrent use.
type metrics struct {
	mu        sync.Mutex
	sums      map[gateway.Metric]float64
	oldestDue float64 // seconds; a gauge
	latency   [len(latencyBounds) + 1]int
	total     float64 // seconds; sum of the latencies
}

// latencyBounds are the upper bounds of the histogram's buckets in seconds. The last bucket, +Inf, is not among them.
var latencyBounds = [...]float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 15}

// counters are the metrics that only grow. Counters with the same name must be neighbours; they differ in the label
// outcome.
var counters = [...]struct {
	metric              gateway.Metric
	name, outcome, help string
}{
	{gateway.Callbacks, "callbacks_total", "accepted", "Callbacks of providers."},
	{gateway.RefusedCallbacks, "callbacks_total", "refused", ""},
	{gateway.Events, "events_total", "new", "Events that the worker took up; a duplicate is not delivered again."},
	{gateway.DuplicateEvents, "events_total", "duplicate", ""},
	{gateway.AttemptsSucceeded, "attempts_total", "succeeded", "Attempts of deliveries."},
	{gateway.AttemptsFailed, "attempts_total", "failed", ""},
	{gateway.Expired, "expired_deliveries_total", "", "Deliveries that failed because their payload had expired."},
}

func (m *metrics) Add(name gateway.Metric, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch name {
	case gateway.DueAge:
		m.oldestDue = v
	case gateway.DeliveryLatency:
		seconds := v / 1000
		i, _ := slices.BinarySearch(latencyBounds[:], seconds)
		m.latency[i]++
		m.total += seconds
	default:
		if m.sums == nil {
			m.sums = map[gateway.Metric]float64{}
		}
		m.sums[name] += v
	}
}

// write writes the metrics in Prometheus' text format, with its conventions for names: base units, _total behind
// a counter. "Exposition formats" and "Metric and label naming" in the Prometheus documentation.
func (m *metrics) write(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range counters {
		if c.help != "" {
			describe(w, c.name, "counter", c.help)
		}
		labels := ""
		if c.outcome != "" {
			labels = fmt.Sprintf("{outcome=%q}", c.outcome)
		}
		line(w, c.name, labels, m.sums[c.metric])
	}
	describe(w, "oldest_due_seconds", "gauge", "How late the oldest due delivery was at the last run of retry.")
	line(w, "oldest_due_seconds", "", m.oldestDue)
	m.writeLatency(w)
}

func (m *metrics) writeLatency(w io.Writer) {
	const name = "delivery_latency_seconds"
	describe(w, name, "histogram", "Time from a callback to the success of a first attempt.")
	n := 0
	for i, bound := range latencyBounds {
		n += m.latency[i]
		line(w, name+"_bucket", `{le="`+number(bound)+`"}`, float64(n))
	}
	n += m.latency[len(latencyBounds)]
	line(w, name+"_bucket", `{le="+Inf"}`, float64(n))
	line(w, name+"_sum", "", m.total)
	line(w, name+"_count", "", float64(n))
}

// writeDepths writes the number of messages in each queue.
func writeDepths(ctx context.Context, w io.Writer, q storage.Queue) error {
	describe(w, "queue_messages", "gauge", "Messages by queue and state; dead ones are in its dead-letter queue.")
	for _, name := range [...]storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
		d, err := q.Depth(ctx, name)
		if err != nil {
			return err
		}
		for _, s := range []struct {
			state string
			n     int
		}{{"waiting", d.Waiting}, {"in_flight", d.InFlight}, {"delayed", d.Delayed}, {"dead", d.Dead}} {
			line(w, "queue_messages", fmt.Sprintf("{queue=%q,state=%q}", name, s.state), float64(s.n))
		}
	}
	return nil
}

// writeLog writes the size of the database's write-ahead log.
func writeLog(w io.Writer, bytes int64) {
	describe(w, "wal_bytes", "gauge", "Size of the database's write-ahead log: over 100 MB for long, something outside reads the database all the time.")
	line(w, "wal_bytes", "", float64(bytes))
}

// processMetrics are read from Go's runtime.
var processMetrics = [...]struct{ name, source, help string }{
	{"goroutines", "/sched/goroutines:goroutines", "Goroutines that exist."},
	{"heap_bytes", "/memory/classes/heap/objects:bytes", "Memory of objects, live or not yet collected."},
}

// writeProcess writes the processMetrics.
func writeProcess(w io.Writer) {
	var samples [len(processMetrics)]measured.Sample
	for i, m := range processMetrics {
		samples[i].Name = m.source
	}
	measured.Read(samples[:])
	for i, m := range processMetrics {
		describe(w, m.name, "gauge", m.help)
		line(w, m.name, "", float64(samples[i].Value.Uint64()))
	}
}

func describe(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP ringback_%s %s\n# TYPE ringback_%s %s\n", name, help, name, kind)
}

func line(w io.Writer, name, labels string, v float64) {
	fmt.Fprintf(w, "ringback_%s%s %s\n", name, labels, number(v))
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
