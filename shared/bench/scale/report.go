package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"ringback/shared/bench/bill"
	"ringback/shared/bench/quantile"
)

// logBytes is what an event leaves in logs: access log, platform lines, metrics
// (shared/bench/bill counts $0.23 a million).
const logBytes = 460

// report plays a and writes what was seen.
func report(t *testing.T, a Assumptions, closeUp time.Duration, out io.Writer) error {
	a.print(out)
	w, err := play(t, a)
	if err != nil {
		return err
	}
	w.print(out)
	if closeUp > 0 && a.Noisy > 0 {
		if err := printCloseUp(t, a, closeUp, out); err != nil {
			return err
		}
	}
	if err := w.m.conserved(w); err != nil {
		return fmt.Errorf("not conserved: %w", err)
	}
	fmt.Fprintln(out, "\nconserved: each callback that was acknowledged was delivered, is due, or is in a queue")
	return nil
}

func (w *world) print(out io.Writer) {
	w.printTime(out)
	w.printCallbacks(out)
	w.printLatency(out)
	w.printFunctions(out)
	w.printTables(out)
	w.printBill(out)
}

// printTime writes the points, about a dozen of them.
func (w *world) printTime(out io.Writer) {
	fmt.Fprintln(out, "minute   events waiting   oldest   retries waiting    delayed   concurrency: ingest  events  retries    slow       due   moved/min   oldest due   refused")
	step := max(len(w.m.points)/12, 1)
	for i, p := range w.m.points {
		if (i+1)%step != 0 && i != 0 && i != len(w.m.points)-1 {
			continue
		}
		fmt.Fprintf(out, "%6.0f   %14.0f  %7v   %15.0f   %8.0f   %19.0f  %6.0f   %6.0f  %6.0f   %7.0f   %9.0f   %10v   %7.0f\n",
			p.at.Minutes(), p.waiting, p.oldest.Round(time.Second), p.retries, p.retriesLater, p.concurrency[0], p.concurrency[1], p.concurrency[2], p.concurrency[3],
			p.dueRows, p.moved, p.oldestDue.Round(time.Second), p.refused)
	}
}

func (w *world) printCallbacks(out io.Writer) {
	m := &w.m
	fmt.Fprintf(out, "\ncallbacks   %.0f; refused by API Gateway %.0f, without an environment %.0f, by the gateway %.0f\n",
		float64(len(m.state))*w.n, m.count(w, refused), m.count(w, throttledCallback), m.count(w, failedCallback))
	twice := 0.0
	for _, n := range m.arrivals {
		twice += max(float64(n)-1, 0) * w.n
	}
	fmt.Fprintf(out, "deliveries  succeeded %.0f, pending %.0f, failed %.0f, not begun %.0f; accepted twice %.0f\n",
		m.count(w, succeeded), m.count(w, pending), m.count(w, failed), m.count(w, acknowledged), twice)
	fmt.Fprintf(out, "messages    came again %.0f, dead letters %.0f events %.0f retries %.0f slow\n",
		m.again, float64(len(w.events.dead))*w.n, float64(len(w.retries.dead))*w.n, float64(len(w.slow.dead))*w.n)
	fmt.Fprintf(out, "attempts    %.0f at endpoints that accept, %.0f at those that hang, %.0f at those that refuse\n",
		m.attempts[healthy]+m.attempts[neighbour]+m.attempts[noisy], m.attempts[hanging], m.attempts[refusing])
}

func (w *world) printLatency(out io.Writer) {
	fmt.Fprintln(out)
	for _, of := range []struct {
		name         string
		all, settled []time.Duration
	}{
		{"callback to delivery, healthy", w.m.latency[healthy], w.m.settled[healthy]},
		{"callback to delivery, the noisy one's neighbours", w.m.latency[neighbour], w.m.settled[neighbour]},
		{"callback to delivery, the noisy one", w.m.latency[noisy], w.m.settled[noisy]},
		{"lateness of later attempts", w.m.lateness, nil},
	} {
		fmt.Fprintf(out, "%-50s  %s of %d", of.name, quantiles(of.all), len(of.all))
		if of.settled != nil {
			fmt.Fprintf(out, "; in the second half  %s", quantiles(of.settled))
		}
		fmt.Fprintln(out)
	}
}

func quantiles(took []time.Duration) string {
	sorted := slices.Sorted(slices.Values(took))
	return fmt.Sprintf("p50 %8v  p99 %8v  max %8v", rounded(sorted, 0.5), rounded(sorted, 0.99), rounded(sorted, 1))
}

// rounded returns the q-quantile of ascending times; 0 if there are none.
func rounded(ascending []time.Duration, q float64) time.Duration {
	if len(ascending) == 0 {
		return 0
	}
	d := time.Duration(quantile.Of(ascending, q))
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

func (w *world) printFunctions(out io.Writer) {
	fmt.Fprintln(out)
	for _, f := range []struct {
		name string
		*function
	}{{"ingest", w.ingest}, {"worker", w.worker}} {
		fmt.Fprintf(out, "%-7s  at most %.0f at once, %.0f environments, %.0f invocations, %.0f throttled\n",
			f.name, f.peak, float64(f.slots)*w.n, f.invocations, f.throttled)
	}
	fmt.Fprintf(out, "retry    %d ticks, %d with an error; they can write about %.0f rows each\n", w.m.ticks, w.m.cutOff, rowsATick())
}

// rowsATick is how many rows a tick can hand out: its shards work at once, each a row
// after the other.
func rowsATick() float64 {
	const each = dynamoTime + dynamoTime/10 + sqsTime/10
	return 16 * float64(retryTime-queueMargin-5*time.Second) / float64(each)
}

func (w *world) printTables(out io.Writer) {
	t := w.tables
	fmt.Fprintln(out, "\ntables and indexes: units a second in the busiest minute, of what they take at the end; requests that were throttled")
	spaces := t.spaces()
	for _, name := range slices.Sorted(maps.Keys(spaces)) {
		s := spaces[name]
		fmt.Fprintf(out, "  %-22s  %8.0f of %8.0f  %10.0f\n", name, slices.Max(s.minute)/60*s.scale, s.rate*s.scale, s.throttled)
	}
	fmt.Fprintf(out, "hottest partition keys: units a second in their busiest %v, of the limit; requests that were throttled; * counted times %d\n", window, w.a.Sample)
	printHeats(out, t.heats, 6)
}

// printHeats writes the hottest keys of each unit.
func printHeats(out io.Writer, heats map[heatKey]*heat, most int) {
	keys := slices.SortedFunc(maps.Keys(heats), func(a, b heatKey) int {
		return cmp.Or(-cmp.Compare(heats[a].peak/heats[a].limit, heats[b].peak/heats[b].limit), cmp.Compare(a.of, b.of), cmp.Compare(a.unit, b.unit))
	})
	for _, k := range keys[:min(most, len(keys))] {
		h, times := heats[k], " "
		if h.scale > 1 {
			times = "*"
		}
		fmt.Fprintf(out, "  %s %-48.48s %5s  %6.0f of %4.0f  %5.1f %%  %8.0f\n", times, k.of, k.unit, h.peak, h.limit, 100*h.peak/h.limit, h.throttled)
	}
}

func (w *world) usage() bill.Usage {
	m := &w.m
	attempts := 0.0
	for _, n := range m.attempts {
		attempts += n
	}
	callbacks := float64(len(m.state)) * w.n
	return bill.Usage{
		HTTPRequests: callbacks - m.count(w, refused),
		Ingest:       bill.Function{Invocations: w.ingest.invocations, GBSeconds: w.ingest.gbSeconds},
		Worker:       bill.Function{Invocations: w.worker.invocations, GBSeconds: w.worker.gbSeconds},
		Retry:        bill.Function{Invocations: w.retry.invocations, GBSeconds: w.retry.gbSeconds},
		SQSRequests:  w.events.requests + w.retries.requests + w.slow.requests,
		FairRequests: w.events.fair + w.retries.fair + w.slow.fair,
		WriteUnits:   w.tables.writeUnits, ReadUnits: w.tables.readUnits,
		LogBytes: logBytes * callbacks, EgressBytes: bill.EgressBytes * attempts,
	}
}

// millions returns how many million callbacks there were.
func (w *world) millions() float64 { return float64(len(w.m.state)) * w.n / 1e6 }

// perMillion returns the bill for a million callbacks.
func (w *world) perMillion() float64 { return bill.ListPrices().Of(w.usage()).Total() / w.millions() }

func (w *world) printBill(out io.Writer) {
	c := bill.ListPrices().Of(w.usage())
	millions := w.millions()
	fmt.Fprintf(out, "\nbill        $%.2f, $%.2f a million callbacks: API Gateway %.2f, ingest %.2f, SQS %.2f, worker and retry %.2f, DynamoDB %.2f, logs %.2f, egress %.2f\n",
		c.Total(), c.Total()/millions, c.API/millions, c.Ingest/millions, c.SQS/millions, c.Worker/millions, c.DynamoDB/millions, c.Logs/millions, c.Egress/millions)
	fmt.Fprintf(out, "            %.2f write units and %.2f read units a callback\n", w.tables.writeUnits/millions/1e6, w.tables.readUnits/millions/1e6)
}

// printCloseUp plays the noisy source alone and in full, with as many workers
// as the whole has, all of them warm: what its keys bear.
func printCloseUp(t *testing.T, a Assumptions, d time.Duration, out io.Writer) error {
	a.Sample, a.For, a.Rate = 1, d, a.Rate*a.Noisy
	a.Neighbours, a.Noisy, a.warm = 0, 1, true
	w, err := play(t, a)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nclose-up: the noisy source alone, not thinned, %.0f callbacks/s for %v; its hottest keys\n", a.Rate, d)
	printHeats(out, w.tables.heats, 5)
	return nil
}
