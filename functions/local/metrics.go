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

// metrics are the gateway.Metrics of this process since its start, for Prometheus: the names of the AWS
// metrics, with ringback_ for the namespace Ringback that they have there. They are safe for concurrent use.
type metrics struct {
	mu      sync.Mutex
	sums    map[gateway.Metric]float64
	oldest  float64 // DueAge is not added up
	latency [len(latencyBounds) + 1]int
	waited  float64 // sum of the latencies
}

// latencyBounds are the upper ends of the histogram's buckets in milliseconds; one without end follows.
var latencyBounds = [...]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 15000}

// counted are the metrics that are added up.
var counted = [...]struct {
	name gateway.Metric
	help string
}{
	{gateway.Callbacks, "Callbacks taken in."},
	{gateway.RefusedCallbacks, "Callbacks answered with an error."},
	{gateway.Events, "Events begun by the worker."},
	{gateway.DuplicateEvents, "Events that a provider repeated and that were not delivered again."},
	{gateway.Expired, "Deliveries that failed since their payload was gone."},
	{gateway.AttemptsSucceeded, "Attempts that the endpoint accepted."},
	{gateway.AttemptsFailed, "Attempts that it did not."},
}

func (m *metrics) Add(name gateway.Metric, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch name {
	case gateway.DueAge:
		m.oldest = v
	case gateway.DeliveryLatency:
		i, _ := slices.BinarySearch(latencyBounds[:], v)
		m.latency[i]++
		m.waited += v
	default:
		if m.sums == nil {
			m.sums = map[gateway.Metric]float64{}
		}
		m.sums[name] += v
	}
}

// write writes what was counted in Prometheus' text format. "Exposition formats" in the Prometheus documentation.
func (m *metrics) write(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range counted {
		describe(w, string(c.name), "counter", c.help)
		line(w, string(c.name), "", m.sums[c.name])
	}
	describe(w, string(gateway.DueAge), "gauge", "Seconds that the oldest due row was late at the last tick.")
	line(w, string(gateway.DueAge), "", m.oldest)
	m.writeLatency(w)
}

func (m *metrics) writeLatency(w io.Writer) {
	name := string(gateway.DeliveryLatency)
	describe(w, name, "histogram", "Milliseconds from a callback to its accepted first attempt.")
	n := 0
	for i, bound := range latencyBounds {
		n += m.latency[i]
		line(w, name+"_bucket", `{le="`+number(bound)+`"}`, float64(n))
	}
	n += m.latency[len(latencyBounds)]
	line(w, name+"_bucket", `{le="+Inf"}`, float64(n))
	line(w, name+"_sum", "", m.waited)
	line(w, name+"_count", "", float64(n))
}

// writeDepths writes how many messages the queues have.
func writeDepths(ctx context.Context, w io.Writer, q storage.Queue) error {
	describe(w, "Messages", "gauge", "Messages by queue and state; dead ones lie in its dead-letter queue.")
	for _, name := range [...]storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
		d, err := q.Depth(ctx, name)
		if err != nil {
			return err
		}
		for _, of := range []struct {
			state string
			n     int
		}{{"waiting", d.Waiting}, {"in_flight", d.InFlight}, {"delayed", d.Delayed}, {"dead", d.Dead}} {
			line(w, "Messages", fmt.Sprintf("{queue=%q,state=%q}", name, of.state), float64(of.n))
		}
	}
	return nil
}

// writeLog writes how large the log of the database is.
func writeLog(w io.Writer, bytes int64) {
	describe(w, "LogBytes", "gauge", "Size of the database's write-ahead log: over 100 MB for long, something outside reads the database all the time.")
	line(w, "LogBytes", "", float64(bytes))
}

// ofProcess are the metrics of the process itself.
var ofProcess = [...]struct{ name, of, help string }{
	{"Goroutines", "/sched/goroutines:goroutines", "Goroutines that live."},
	{"HeapBytes", "/memory/classes/heap/objects:bytes", "Memory of objects that live, or that the collector has not found dead yet."},
}

// writeProcess writes what the process uses now.
func writeProcess(w io.Writer) {
	var samples [len(ofProcess)]measured.Sample
	for i, m := range ofProcess {
		samples[i].Name = m.of
	}
	measured.Read(samples[:])
	for i, m := range ofProcess {
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
