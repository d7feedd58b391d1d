package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"ringback/shared/gateway"
)

const (
	soakRate    = 200 // callbacks/s
	soakSamples = 20
	soakShares  = 20 // into which the expiry of the past is divided
)

// A sample is what a soaking runner uses at one time.
type sample struct {
	at                       time.Duration
	rss, database, log, heap float64 // MiB
	goroutines               float64
	p99                      float64 // ms, since the sample before
}

// soak keeps a runner under a steady load and watches what it uses.
//
// No history of the least length (8 days) ends within a soak. So the file first
// gets a past: as many events as the soak will add, written with the gateway's
// own verbs but with a shorter history, whose rows expire evenly over the soak.
// That is a file in the steady state of its retention: the runner, which is as
// it is shipped, removes as many rows a minute as it adds, and the file must not
// grow.
func (b *bench) soak(ctx context.Context, out io.Writer) error {
	return b.on(ctx, func(s *stage) error {
		n := int(soakRate * b.soakFor.Seconds())
		l := newLedger(1, warm+n)
		if err := s.endpoints(ctx, l); err != nil {
			return err
		}
		if err := s.offline(ctx, func(lib *library) error { return lib.expiring(ctx, n, b.soakFor) }); err != nil {
			return err
		}
		if err := s.warmUp(ctx, l); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() {
			_, err := s.generator(l, groupA).pace(ctx, warm, warm+n, soakRate)
			ended <- err
		}()
		samples, err := s.watch(ctx, l, n, ended)
		if err != nil {
			return err
		}
		if err := errors.Join(l.wait(ctx, s.patience), s.runner.idle(ctx)); err != nil {
			return err
		}
		fmt.Fprintf(out, "%d callbacks/s for %v; %d events before, which expire evenly meanwhile; %d lost, %d twice\n\n",
			soakRate, b.soakFor, n, l.lost(), l.repeats.Load())
		writeSamples(out, samples)
		return l.check()
	})
}

// expiring adds n events whose rows expire evenly over a time from now on.
func (lib *library) expiring(ctx context.Context, n int, over time.Duration) error {
	begin := time.Now()
	for share := range soakShares {
		last := begin.Add(over * time.Duration(share+1) / soakShares)
		if err := lib.past(ctx, n/soakShares, gateway.Kept{History: max(time.Until(last), time.Second)}, 0); err != nil {
			return err
		}
	}
	return nil
}

// watch takes samples until the load has ended.
func (s *stage) watch(ctx context.Context, l *ledger, n int, ended <-chan error) ([]sample, error) {
	tick := time.NewTicker(s.soakFor / soakSamples)
	defer tick.Stop()
	begin, seen := time.Now(), warm
	var out []sample
	for {
		select {
		case err := <-ended:
			return out, err
		case <-tick.C:
		}
		to := min(warm+int(soakRate*time.Since(begin).Seconds()), warm+n)
		x, err := s.sample(ctx)
		if err != nil {
			return out, err
		}
		x.at, x.p99 = time.Since(begin), percentile(l.took(seen, to), 99)
		seen = to
		out = append(out, x)
		s.say("%v: %.1f MiB resident, file %.1f MiB, log %.1f MiB, %.0f goroutines, p99 %.1f ms", x.at.Round(time.Second), x.rss, x.database, x.log, x.goroutines, x.p99)
	}
}

func (s *stage) sample(ctx context.Context) (sample, error) {
	var x sample
	m, err := s.runner.metrics(ctx)
	if err != nil {
		return x, err
	}
	x.goroutines, x.heap = m["Goroutines"], m["HeapBytes"]/(1<<20)
	if x.rss, err = s.runner.memory("VmRSS"); err != nil {
		return x, err
	}
	x.database, x.log, err = s.fileMiB()
	return x, err
}

// writeSamples writes the samples, and under each column how much it grows a
// minute: the slope of the line through the second half, by least squares.
func writeSamples(out io.Writer, samples []sample) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "after\tresident MiB\theap MiB\tfile MiB\tlog MiB\tgoroutines\tp99 ms\t")
	for _, x := range samples {
		fmt.Fprintf(w, "%v\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.1f\t\n", x.at.Round(time.Second), x.rss, x.heap, x.database, x.log, x.goroutines, x.p99)
	}
	half := samples[len(samples)/2:]
	fmt.Fprint(w, "slope/min\t")
	for _, of := range []func(sample) float64{
		func(x sample) float64 { return x.rss }, func(x sample) float64 { return x.heap }, func(x sample) float64 { return x.database },
		func(x sample) float64 { return x.log }, func(x sample) float64 { return x.goroutines }, func(x sample) float64 { return x.p99 },
	} {
		fmt.Fprintf(w, "%+.2f\t", slope(half, of))
	}
	fmt.Fprintln(w)
	w.Flush()
}

// slope returns how much a figure grows a minute.
func slope(samples []sample, of func(sample) float64) float64 {
	var t, y, tt, ty float64
	n := float64(len(samples))
	for _, x := range samples {
		minutes := x.at.Minutes()
		t, y, tt, ty = t+minutes, y+of(x), tt+minutes*minutes, ty+minutes*of(x)
	}
	if d := n*tt - t*t; d != 0 {
		return (n*ty - t*y) / d
	}
	return 0
}
