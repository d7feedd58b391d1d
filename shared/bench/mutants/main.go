// Mutants measures how much the tests notice. It draws so many small changes of
// the product's code, each a bug that somebody could have written, runs the tests
// against one after the other, and prints those that no test failed for:
//
//	go run ./shared/bench/mutants -seed 1 -n 200 -only gateway,control
//
// Each possible mutant is as likely to be drawn as another, so that a package
// has its share. All drawn ones are compiled at once, each behind a switch, into
// the test binaries of the packages that may notice. Every test is run alone
// once, to learn which mutants it reaches; after that a mutant is up against the
// tests that reach it alone, those of its own package first and then the quick
// ones, until one fails, panics, or takes five times as long as it did.
//
// A survivor that changes nothing that matters has a sentence in equivalent.txt
// that says why. The command fails if another survives, or if the sentences
// excuse more than one in twenty of all that were drawn.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"ringback/shared/bench/mutants/mutant"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	seed := flags.Uint64("seed", rand.Uint64N(1_000_000), "what chooses the mutants")
	n := flags.Int("n", 200, "mutants to draw")
	only := flags.String("only", "", "folders below shared, such as gateway,provider; all if it is left out")
	match := flags.String("match", "", "draw only mutants whose line in the table has this text, such as a function's name")
	budget := flags.Duration("budget", 30*time.Minute, "time for everything; what is left by then counts as a failure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *n < 1 || *n > mutant.Most {
		return fmt.Errorf("-n: want a number from 1 to %d", mutant.Most)
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *budget)
	defer cancel()
	begun := time.Now()
	r, err := run{root: ".", seed: *seed, n: *n, targets: chosen, match: *match, log: os.Stderr}.do(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\nin %v\n", r, time.Since(begun).Round(time.Second))
	return r.failure()
}

// A run is what is to be measured.
type run struct {
	root    string // of the module
	seed    uint64
	n       int
	targets []target
	match   string    // part of the names of those to draw from
	log     io.Writer // progress
}

// do draws mutants and judges each.
func (r run) do(ctx context.Context) (report, error) {
	sources, err := load(ctx, r.root, r.targets)
	if err != nil {
		return report{}, err
	}
	possible := findAll(sources)
	matching := slices.DeleteFunc(slices.Clone(possible), func(c *change) bool { return !strings.Contains(c.String(), r.match) })
	drawn, err := draw(sources, matching, r.seed, r.n)
	if err != nil {
		return report{}, err
	}
	fmt.Fprintf(r.log, "seed %d: %d of %d possible mutants\n", r.seed, len(drawn), len(possible))
	work, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(work)
	binaries, err := compile(ctx, r.root, work, r.targets, drawn)
	if err != nil {
		return report{}, err
	}
	fmt.Fprintf(r.log, "compiled %d test binaries\n", len(binaries))
	tests, leftOut, err := baseline(ctx, binaries)
	if err != nil {
		return report{}, err
	}
	fmt.Fprintf(r.log, "%d tests ran alone; left out: %s\n", len(tests), strings.Join(leftOut, ", "))
	verdicts := judgeAll(ctx, drawn, tests, r.log)
	return report{seed: r.seed, possible: possible, verdicts: verdicts, leftOut: leftOut, sentences: sentences}, nil
}
