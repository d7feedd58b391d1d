package cloud

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Metrics counts what one invocation does and writes it in one line of CloudWatch's embedded metric format, of which
// CloudWatch makes a time series for each name: seven in all, since Service, the only dimension, is the same in every
// function. It is safe for concurrent use. "Specification: Embedded metric format" in the Amazon CloudWatch User Guide.
type Metrics struct {
	Service string
	Out     io.Writer // default os.Stdout

	// Units are the units of the metrics that are sent on, by their names. What is
	// counted besides stands in the line but makes no series, which would cost.
	Units map[string]string

	mu     sync.Mutex
	sums   map[string]float64
	values map[string][]float64 // of the metrics that are measured, not counted
}

// maxValues is how many values one line may hold of a metric. What is over goes into further lines.
const maxValues = 100

// Add counts v more of name, or, where the unit is one of time, keeps v as a value of its own: percentiles need each.
func (m *Metrics) Add(name string, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if unit, ok := m.Units[name]; !ok || unit == "Count" {
		if m.sums == nil {
			m.sums = make(map[string]float64)
		}
		m.sums[name] += v
		return
	}
	if m.values == nil {
		m.values = make(map[string][]float64)
	}
	m.values[name] = append(m.values[name], v)
}

// Flush writes what was counted since the last Flush, nothing if that is nothing. Start calls it
// after each invocation, before the answer is sent: afterwards the process may be frozen.
func (m *Metrics) Flush() error {
	m.mu.Lock()
	sums, values := m.sums, m.values
	m.sums, m.values = nil, nil
	m.mu.Unlock()
	for len(sums)+len(values) > 0 {
		if err := m.write(m.record(time.Now(), sums, firstOf(values))); err != nil {
			return err
		}
		sums = nil
	}
	return nil
}

// firstOf takes as many of the values as one line holds.
func firstOf(values map[string][]float64) map[string][]float64 {
	first := make(map[string][]float64, len(values))
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
	out := cmp.Or[io.Writer](m.Out, os.Stdout)
	if _, err := out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

func (m *Metrics) record(now time.Time, sums map[string]float64, values map[string][]float64) map[string]any {
	line := map[string]any{"Service": m.Service}
	for name, v := range sums {
		line[name] = v
	}
	for name, vs := range values {
		line[name] = vs
	}
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	d := directive{Namespace: "Ringback", Dimensions: [][]string{{"Service"}}}
	for name := range line {
		if unit, ok := m.Units[name]; ok {
			d.Metrics = append(d.Metrics, metric{name, unit})
		}
	}
	line["_aws"] = map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": []directive{d}}
	return line
}
