package cloud

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"ringback/shared/gateway"
)

// Metrics counts what one invocation does and writes it in one line of
// CloudWatch's embedded metric format, of which CloudWatch makes a time series
// for each name: seven in all, since Service, the only dimension, is the same
// in every function. It is safe for concurrent use.
// "Specification: Embedded metric format" in the Amazon CloudWatch User Guide.
type Metrics struct {
	Service string
	Out     io.Writer // default os.Stdout

	mu     sync.Mutex
	sums   map[gateway.Metric]float64
	values map[gateway.Metric][]float64 // of the metrics that are measured, not counted
}

// maxValues is how many values one line may hold of a metric. What is over goes
// into further lines.
const maxValues = 100

// metricUnits names the metrics that are sent on. What the gateway counts
// besides stands in the line but makes no series, which would cost.
var metricUnits = map[gateway.Metric]string{
	gateway.Callbacks:        "Count",
	gateway.RefusedCallbacks: "Count",
	gateway.Events:           "Count",
	gateway.Accepted:         "Count",
	gateway.Refused:          "Count",
	gateway.Latency:          "Milliseconds",
	gateway.DueAge:           "Seconds",
}

// Add counts v more of name, or, where the unit is one of time, keeps v as a
// value of its own: percentiles need each.
func (m *Metrics) Add(name gateway.Metric, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if unit, ok := metricUnits[name]; !ok || unit == "Count" {
		if m.sums == nil {
			m.sums = make(map[gateway.Metric]float64)
		}
		m.sums[name] += v
		return
	}
	if m.values == nil {
		m.values = make(map[gateway.Metric][]float64)
	}
	m.values[name] = append(m.values[name], v)
}

type emfDirective struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []emfMetric
}

type emfMetric struct {
	Name string
	Unit string
}

// Flush writes what was counted since the last Flush, nothing if that is
// nothing. Start calls it after each invocation, before the answer is sent:
// afterwards the process may be frozen.
func (m *Metrics) Flush() error {
	m.mu.Lock()
	sums, values := m.sums, m.values
	m.sums, m.values = nil, nil
	m.mu.Unlock()
	for len(sums)+len(values) > 0 {
		if err := m.write(record(m.Service, time.Now(), sums, firstOf(values))); err != nil {
			return err
		}
		sums = nil
	}
	return nil
}

// firstOf takes as many of the values as one line holds.
func firstOf(values map[gateway.Metric][]float64) map[gateway.Metric][]float64 {
	first := make(map[gateway.Metric][]float64, len(values))
	for name, all := range values {
		n := min(len(all), maxValues)
		first[name], values[name] = all[:n], all[n:]
		if n == len(all) {
			delete(values, name)
		}
	}
	return first
}

func (m *Metrics) write(record map[string]any) error {
	line, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode metrics: %w", err)
	}
	var out io.Writer = os.Stdout
	if m.Out != nil {
		out = m.Out
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

func record(service string, now time.Time, sums map[gateway.Metric]float64, values map[gateway.Metric][]float64) map[string]any {
	directive := emfDirective{Namespace: "Ringback", Dimensions: [][]string{{"Service"}}}
	line := map[string]any{"Service": service}
	for name, v := range sums {
		line[string(name)] = v
		directive.add(name)
	}
	for name, vs := range values {
		line[string(name)] = vs
		directive.add(name)
	}
	line["_aws"] = map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": []emfDirective{directive}}
	return line
}

func (d *emfDirective) add(name gateway.Metric) {
	if unit, ok := metricUnits[name]; ok {
		d.Metrics = append(d.Metrics, emfMetric{string(name), unit})
	}
}
