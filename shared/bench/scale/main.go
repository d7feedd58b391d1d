// Command scale plays the gateway on AWS in virtual time, at loads that cost too much to test, and says whether a Size
// of template.yaml carries its load, and what limits it.
//
//	go run ./shared/bench/scale -size medium         # ten minutes at the load that medium is made for
//	go run ./shared/bench/scale -size small -find    # the largest load that small carries
//
// Gateway.Ingest, FanOut, Redeliver, RedeliverSlow and Retry run as they are deployed, in as many instances as Lambda
// would have environments. store.go is their Store and Queue with the limits of DynamoDB, lambda.go the
// functions and what invokes them, load.go callbacks and endpoints. A constant names the source of its figure; one without is an
// assumption.
//
// Six million events are too many to play. With -sample n one of n sources is played, with its whole traffic, and what
// all sources share (workers, throttles, tables, the due index, Retry) has an n-th of its size. For example, of medium's
// 160 sources and 100 workers -sample 20 plays 8 and 5. One busy source is always played, with an n-th of its callbacks,
// and each use of its keys counts n times. A sampled slot stands for n environments, among which messages are spread,
// so that caches and circuits see what they would in full. But the fewer messages fill a batch in n times as long, for
// up to a second: the latency is an upper bound.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// A setup is a Size of template.yaml, on an account with the quotas that shared/docs/deploying.md wants for it, and its
// load. Figures are of the whole gateway, before sampling. API Gateway's throttles are above the load, and not played.
type setup struct {
	Workers    float64 // at once, for each of the events and the retry queue
	Slow       float64 // at once, for the slow queue
	Batch      int     // messages of an invocation, at most, of the events and the retry queue
	Memory     float64 // of a function, MB
	WarmWrites float64 // units a second that the deliveries table takes at once; a run is too short for it to grow
	WarmReads  float64 // of the registrations table
	Executions float64 // at once, of the account: 10 of a new one, 1,000 otherwise ("Lambda quotas")

	Rate   float64 // callbacks a second, each with one event of 1 KiB for one registration
	For    time.Duration
	Sample int // one of so many sources is played
	Seed   uint64
}

// sizes are those of template.yaml.
var sizes = map[string]setup{
	"small":  {Workers: 2, Slow: 2, Batch: 10, Memory: 256, WarmWrites: newWrites, WarmReads: newReads, Executions: 10, Rate: 20, Sample: 1},
	"medium": {Workers: 100, Slow: 30, Batch: 50, Memory: 512, WarmWrites: 8000, WarmReads: newReads, Executions: 1000, Rate: 2000, Sample: 20},
	"large":  {Workers: 400, Slow: 100, Batch: 50, Memory: 1024, WarmWrites: 60_000, WarmReads: 100_000, Executions: 3000, Rate: 10_000, Sample: 100},
}

func main() {
	f := flag.NewFlagSet("scale", flag.ExitOnError)
	size := f.String("size", "large", "Size of the template: small, medium or large")
	rate := f.Float64("rate", 0, "callbacks a second; 0: those that the Size is made for")
	sample := f.Int("sample", 0, "play one of so many sources, at most SlowConcurrency; 0: as fits the Size")
	length := f.Duration("for", 10*time.Minute, "how long callbacks come")
	seed := f.Uint64("seed", 1, "another seed makes another run")
	search := f.Bool("find", false, "find the largest rate that is carried, by bisection")
	f.Parse(os.Args[1:])
	s := sizes[*size]
	s.For, s.Seed, s.Rate, s.Sample = *length, *seed, cmp.Or(*rate, s.Rate), cmp.Or(*sample, s.Sample)
	if s.Rate <= 0 || s.Sample < 1 || s.Slow < float64(s.Sample) || s.For < time.Minute {
		f.Usage()
		os.Exit(2)
	}
	// Only tests have virtual time. testing.Main is for programs that stand in for "go test".
	os.Args, flag.CommandLine = os.Args[:1], flag.NewFlagSet("scale", flag.ExitOnError)
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "scale", F: func(t *testing.T) {
		fmt.Printf("%+v\n", s)
		if err := report(t, s, *search, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "scale:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}}}, nil, nil)
}

// report plays s and writes what was seen, or looks for the highest rate that is carried, within a tenth.
func report(t *testing.T, s setup, search bool, out io.Writer) error {
	for low, high := 0.0, 0.0; ; { // carried, not carried
		w, err := play(t, s)
		if err != nil {
			return fmt.Errorf("at %.0f/s: %w", s.Rate, err)
		}
		if !search {
			w.print(out)
			return nil
		}
		p50, p99, _ := w.latency()
		fmt.Fprintf(out, "%6.0f/s  p50 %.2f s, p99 %.2f s  %s\n", s.Rate, p50, p99, w.verdict)
		if w.verdict == carried {
			low = s.Rate
		} else {
			high = s.Rate
		}
		if s.Rate = (low + high) / 2; high == 0 {
			s.Rate = low * 1.5
		} else if high < max(low*1.1, 1) {
			fmt.Fprintf(out, "carried: %.0f callbacks/s; not: %.0f\n", low, high)
			return nil
		}
	}
}
