// Command load measures the local runner from outside, as a process of its own
// on a real file and real sockets, beside a generator of callbacks and a
// receiver of deliveries:
//
//	go run ./shared/bench/load [-only fanout,latency] [-runs 3] [-markdown] [-profiles DIR]
//	go run ./shared/bench/load -against COMMIT [-pairs 8] [-only fanout,latency] [-markdown]
//	go run ./shared/bench/load -soak 10m
//
// With -against it builds the runner of another commit too, and plays the same
// against both in turn.
//
// It reads processor time and memory from /proc, and so runs on Linux. It exits
// 1 if anything that was acknowledged was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1)
	}
}

// A bench is what a run of the command measures with and into.
type bench struct {
	only        []string
	runs        int
	deliveries  int
	connections int
	window      time.Duration
	events      int
	fanOuts     []int
	rates       []int // callbacks a second
	crowds      []int // registrations on the source
	held        int   // deliveries that are released
	releaseRate int   // of them a second
	kills       int
	killAfter   int           // callbacks acknowledged by one runner
	patience    time.Duration // without an arrival, then what is missing is lost
	soakFor     time.Duration
	markdown    bool
	profiles    string
	against     string // the commit to compare with
	pairs       int

	other *bench // that plays against the other commit; nil: none is compared
	label string // of the runner, if there are two

	binary  string // of the runner; empty: it is built
	scratch string // folder of the data folders
	table   table
	bares   []float64 // bare exchanges a second, before and after each round
	notes   io.Writer // progress

	// noting returns what a receiver does with a delivery. Tests have it err.
	noting func(*ledger) func(endpoint, n int, webhookID []byte)
}

// command measures what args ask for and writes the table to out.
func command(ctx context.Context, args []string, out io.Writer) error {
	if slices.Equal(args, []string{answerBare}) {
		return answer(os.Stdin, out)
	}
	b := newBench()
	if err := b.parse(args); err != nil {
		return err
	}
	return b.command(ctx, out)
}

func newBench() *bench {
	return &bench{
		fanOuts: []int{1, 10, 100}, rates: []int{50, 500, 2000}, crowds: []int{10, 1000, 100_000}, killAfter: 2000, patience: 90 * time.Second,
		notes: os.Stderr, noting: func(l *ledger) func(int, int, []byte) { return l.deliver },
	}
}

func (b *bench) command(ctx context.Context, out io.Writer) (err error) {
	machine := describe(ctx)
	if b.scratch, err = os.MkdirTemp(b.scratch, "ringback-load-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	if b.scratch, err = filepath.Abs(b.scratch); err != nil {
		return err
	}
	if b.binary == "" {
		b.binary, err = build(ctx, "", b.scratch)
	}
	if err == nil && b.against != "" {
		err = b.buildOther(ctx)
	}
	if err != nil {
		return err
	}
	if err := machine.add(b); err != nil {
		return err
	}
	fmt.Fprintln(out, machine)
	err = b.measure(ctx, out)
	b.print(out)
	return err
}

func (b *bench) parse(args []string) error {
	var names []string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	flags.Func("only", "`scenarios` to play, separated by commas (default all)", func(text string) error {
		b.only = strings.Split(text, ",")
		for _, name := range b.only {
			if !slices.Contains(names, name) {
				return fmt.Errorf("want some of %s", strings.Join(names, ", "))
			}
		}
		return nil
	})
	flags.IntVar(&b.runs, "runs", 1, "`times` that each is played; figures are then lowest–median–highest")
	flags.IntVar(&b.deliveries, "deliveries", 30_000, "`number` of deliveries (callbacks, where nobody is registered) that a throughput is taken from")
	flags.IntVar(&b.connections, "connections", 64, "`number` of connections that callbacks come from as fast as they are accepted")
	flags.DurationVar(&b.window, "for", 10*time.Second, "`time` that each fixed rate is kept up")
	flags.IntVar(&b.events, "events", 300_000, "`number` of events in the large file")
	flags.IntVar(&b.held, "held", 200_000, "`number` of held deliveries that are released")
	flags.IntVar(&b.releaseRate, "release", 2000, "`number` of them a second that is asked for")
	flags.IntVar(&b.kills, "kills", 5, "`times` that the runner is killed")
	flags.DurationVar(&b.soakFor, "soak", 0, "`time` of a soak, in place of all else")
	flags.BoolVar(&b.markdown, "markdown", false, "print the table as the README has it")
	flags.StringVar(&b.scratch, "dir", "", "`folder` for the data folders, on the disk that is meant (default that of temporary files)")
	flags.StringVar(&b.against, "against", "", "`commit` to compare this tree with, by "+strings.Join(compared, ", "))
	flags.IntVar(&b.pairs, "pairs", 8, "`times` that -against plays each against both")
	flags.StringVar(&b.profiles, "profiles", "", "`folder` to write a CPU and a heap profile of the runner to, for each row")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("argument %q: want flags only", flags.Arg(0))
	}
	if b.against != "" {
		return b.parseAgainst()
	}
	return nil
}

// measure plays the scenarios, each as often as is asked for, with bare exchanges
// before and after each round.
func (b *bench) measure(ctx context.Context, out io.Writer) error {
	if b.soakFor > 0 {
		return b.soak(ctx, out)
	}
	sides := []*bench{b}
	if b.other != nil {
		sides = []*bench{b.other, b}
	}
	for i := range b.runs + 1 {
		if i > 0 {
			if err := play(ctx, sides); err != nil {
				return err
			}
		}
		bare, err := b.bare(ctx)
		if err != nil {
			return err
		}
		if b.bares = append(b.bares, bare); i == 0 {
			continue
		}
		for _, side := range sides {
			side.table.share(min(b.bares[i-1], bare))
		}
		slices.Reverse(sides) // who is first has what drifts in its favour, or against it
	}
	return nil
}

// play plays each scenario once, on one side after the other.
func play(ctx context.Context, sides []*bench) error {
	for _, s := range scenarios {
		if only := sides[0].only; len(only) > 0 && !slices.Contains(only, s.name) {
			continue
		}
		for _, side := range sides {
			if err := s.run(side, ctx); err != nil {
				return fmt.Errorf("%s: %w", side.labelled(s.name), err)
			}
		}
	}
	return nil
}

// on plays do on a stage of its own.
func (b *bench) on(ctx context.Context, do func(*stage) error) error {
	s, err := b.newStage(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.close())
}

// add notes a measurement in the table.
func (b *bench) add(what, command string, m measurement) error {
	if m == nil {
		return nil
	}
	b.table.add(what, command, m)
	b.say("%s: %s", b.labelled(what), m.brief())
	return nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.notes, format+"\n", args...) }

// labelled says of which runner text is, if there are two.
func (b *bench) labelled(text string) string {
	if b.label == "" {
		return text
	}
	return b.label + ": " + text
}

func (b *bench) print(out io.Writer) {
	if len(b.bares) > 0 {
		fmt.Fprintf(out, "bare HTTP exchanges/s: %s\n\n", spread(b.bares, number))
	}
	switch {
	case len(b.table) == 0:
	case b.other != nil:
		b.printComparison(out)
	case b.markdown:
		fmt.Fprint(out, markdownHead)
		b.table.markdown(out)
	default:
		writeText(out, b.table.cells())
		fmt.Fprintf(out, "\n%s\n", legend)
	}
}
