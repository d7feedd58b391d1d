package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	soakRate    = 200 // callbacks/s
	soakSamples = 20
	soakShares  = 20 // into which the expiry of the past is divided
)

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
		w := &watch{stage: s, ledger: l, begin: time.Now(), seen: warm}
		err := w.load(ctx, n)
		if err == nil {
			err = errors.Join(l.wait(ctx, s.patience), s.runner.idle(ctx))
		}
		if len(w.samples) > 0 {
			w.write(out)
		}
		return errors.Join(err, l.check())
	})
}

// load sends n callbacks at soakRate and takes samples meanwhile. A runner that
// is so slow that it ends late by more than the patience is not waited for.
func (w *watch) load(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.soakFor+w.patience, fmt.Errorf("the runner takes fewer than %d callbacks/s", soakRate))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := w.generator(w.ledger, groupA).pace(ctx, warm, warm+n, soakRate)
		ended <- err
	}()
	err := w.until(ctx, ended)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// expiring adds n events whose rows expire evenly over a time from now on.
func (lib *library) expiring(ctx context.Context, n int, over time.Duration) error {
	begin := time.Now()
	for share := range soakShares {
		last := begin.Add(over * time.Duration(share+1) / soakShares)
		if err := lib.past(ctx, n/soakShares, max(time.Until(last), time.Second), 0); err != nil {
			return err
		}
	}
	return nil
}

// A sample is what a soaking runner uses at one time.
type sample struct {
	at         time.Duration
	resident   float64 // MiB, as the next three
	heap       float64
	file, log  float64
	goroutines float64
	cores      float64 // processor time since the sample before, by the time that passed
	behind     float64 // callbacks that were due and had not arrived
	p99        float64 // ms, of those that were due since the sample before and arrived
}

var soakFigures = [...]struct {
	title  string
	digits int
	of     func(sample) float64
}{
	{"resident MiB", 1, func(x sample) float64 { return x.resident }},
	{"heap MiB", 1, func(x sample) float64 { return x.heap }},
	{"file MiB", 1, func(x sample) float64 { return x.file }},
	{"log MiB", 1, func(x sample) float64 { return x.log }},
	{"goroutines", 0, func(x sample) float64 { return x.goroutines }},
	{"cores", 2, func(x sample) float64 { return x.cores }},
	{"behind", 0, func(x sample) float64 { return x.behind }},
	{"p99 ms", 1, func(x sample) float64 { return x.p99 }},
}

const soakLegend = `slope: of the line through the second half, by least squares; cores: that the runner kept busy; behind: callbacks that were due
and had not arrived; p99: of those that were due since the line before and have arrived`

// A watch takes samples of a stage under load.
type watch struct {
	*stage
	ledger  *ledger
	begin   time.Time
	seen    int // callbacks that the last sample told of
	used    time.Duration
	samples []sample
}

// until takes samples until the load has ended.
func (w *watch) until(ctx context.Context, ended <-chan error) (err error) {
	if w.used, err = w.runner.cpu(); err != nil {
		return err
	}
	tick := time.NewTicker(w.soakFor / soakSamples)
	defer tick.Stop()
	profiled := func() error { return nil }
	for {
		select {
		case err := <-ended:
			return errors.Join(err, profiled())
		case <-tick.C:
		}
		if err := errors.Join(profiled(), w.sample(ctx)); err != nil {
			return err
		}
		profiled = w.profile(ctx, fmt.Sprint("soak ", len(w.samples)))
	}
}

func (w *watch) sample(ctx context.Context) error {
	m, err := w.runner.metrics(ctx)
	if err != nil {
		return err
	}
	x := sample{at: time.Since(w.begin), heap: m["heapbytes"] / (1 << 20), goroutines: m["goroutines"]}
	used, err1 := w.runner.cpu()
	var err2, err3 error
	x.resident, err2 = w.runner.memory("VmRSS")
	x.file, x.log, err3 = w.fileMiB()
	passed := x.at
	if len(w.samples) > 0 {
		passed -= w.samples[len(w.samples)-1].at
	}
	x.cores = (used - w.used).Seconds() / passed.Seconds()
	due := min(warm+int(soakRate*x.at.Seconds()), len(w.ledger.acked))
	x.behind = max(float64(due)-float64(w.ledger.arrived.Load()), 0)
	x.p99 = percentile(w.ledger.took(w.seen, due), 99)
	w.used, w.seen, w.samples = used, due, append(w.samples, x)
	w.say("%s", strings.Join(x.cells(), ", "))
	return errors.Join(err1, err2, err3)
}

func (x sample) cells() []string {
	out := []string{x.at.Round(time.Second).String()}
	for _, f := range soakFigures {
		text := fmt.Sprintf("%.*f", f.digits, f.of(x))
		if math.IsNaN(f.of(x)) {
			text = "–"
		}
		out = append(out, text)
	}
	return out
}

// write writes the samples, and how much each figure grows a minute.
func (w *watch) write(out io.Writer) {
	what := fmt.Sprintf("soak of %v at %d callbacks/s, as many events expire", w.soakFor, soakRate)
	if w.markdown {
		fmt.Fprint(out, markdownHead)
		markdownRow(out, what, w.brief(), fmt.Sprintf("-soak %v", w.soakFor))
		return
	}
	fmt.Fprintf(out, "%s: %d lost, %d twice\n\n", what, w.ledger.lost(), w.ledger.repeats.Load())
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "after\t")
	for _, f := range soakFigures {
		fmt.Fprintf(t, "%s\t", f.title)
	}
	fmt.Fprintln(t)
	for _, x := range w.samples {
		fmt.Fprintf(t, "%s\t\n", strings.Join(x.cells(), "\t"))
	}
	fmt.Fprint(t, "slope/min\t")
	for _, f := range soakFigures {
		fmt.Fprintf(t, "%+.2f\t", w.slope(f.of))
	}
	fmt.Fprintln(t)
	t.Flush()
	fmt.Fprintf(out, "\n%s\n", soakLegend)
}

// brief tells the last sample, and the slopes, on one line.
func (w *watch) brief() string {
	cells := w.samples[len(w.samples)-1].cells()[1:]
	var parts []string
	for i, f := range soakFigures {
		parts = append(parts, fmt.Sprintf("%s %s (%+.2f a minute)", f.title, cells[i], w.slope(f.of)))
	}
	return fmt.Sprintf("%s; %d lost, %d twice", strings.Join(parts, ", "), w.ledger.lost(), w.ledger.repeats.Load())
}

// slope returns how much a figure grows a minute in the second half.
func (w *watch) slope(of func(sample) float64) float64 {
	return slope(w.samples[len(w.samples)/2:], of)
}

// slope returns how much a figure grows a minute, by least squares.
func slope(samples []sample, of func(sample) float64) float64 {
	var n, t, y, tt, ty float64
	for _, x := range samples {
		if minutes, v := x.at.Minutes(), of(x); !math.IsNaN(v) {
			n, t, y, tt, ty = n+1, t+minutes, y+v, tt+minutes*minutes, ty+minutes*v
		}
	}
	if d := n*tt - t*t; d != 0 {
		return (n*ty - t*y) / d
	}
	return 0
}
