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

// Metrics counts what one invocation does and writes it as a line in CloudWatch's embedded metric format. CloudWatch
// makes a time series of each name in Units. There are seven in all and not seven a function, since the only dimension,
// Service, is the same in every function. Metrics is safe for concurrent use.
// "Specification: Embedded metric format" in the Amazon CloudWatch User Guide.
type Metrics struct {
	Service string
	Out     io.Writer // default os.Stdout

	// Units holds the unit of each metric that becomes a time series. Other names stand in the log line only, since
	// CloudWatch bills per series.
	Units map[string]string

	mu     sync.Mutex
	sums   map[string]float64
	values map[string][]float64 // of the metrics that measure a time
}

// maxValues is how many values of a metric one line may hold. Further values go into further lines.
const maxValues = 100

// Add adds v to the sum of name if it is counted, and stores v by itself if name measures a time, since percentiles
// need each value.
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

// Flush writes what was added since the last Flush, and no line if nothing was. Start calls it after each invocation
// and before the response is sent, since afterwards the process may be frozen.
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

// firstOf moves as many of the values as fit into one line out of values.
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

// record returns one line of the embedded metric format: the values, and under _aws which of them become series.
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
