// Badinput sends random and mutated callbacks to each provider's handler, as
// many as it is told, and checks what comes of them: no panic, no 5xx, no
// answer but the provider's own; what is accepted lies in the events queue byte
// for byte; and sent again it is recognised.
//
//	go run ./shared/bench/badinput -n 10000000
//
// Handler, provider, parser and packer are the real ones. The queue counts and
// keeps nothing, so that millions take minutes; one request in -every goes on
// through the embedded backend and the worker to an endpoint, and its events
// are read back.
//
// Each request follows from the seed and its number alone, but for the time in
// a proof. One that something is wrong with is written to a file, which
//
//	go run ./shared/bench/badinput -replay FILE
//
// plays again, with a fresh proof if it had one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "badinput:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	debug.SetGCPercent(1000) // next to nothing is kept
	p := plan{}
	flags := flag.NewFlagSet("badinput", flag.ContinueOnError)
	flags.Uint64Var(&p.requests, "n", 100_000, "requests to each provider")
	flags.Uint64Var(&p.seed, "seed", 1, "what chooses the requests")
	flags.Uint64Var(&p.every, "every", 1000, "one in so many requests goes through the embedded backend and the worker too")
	flags.StringVar(&p.seeds, "seeds", "shared/provider", "`folder` of the providers, whose testdata are mutated")
	only := flags.String("provider", "", "one of smartbots, tencent-chat and direct; all after each other if it is left out")
	findings := flags.String("findings", os.TempDir(), "`folder` for the requests that something is wrong with")
	file := flags.String("replay", "", "play this `file` alone")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if p.every == 0 {
		return errors.New("-every: want a number of at least 1")
	}
	if *file != "" {
		return replayFile(ctx, *file, out)
	}
	names := []string{"smartbots", "tencent-chat", "direct"}
	if *only != "" {
		if sources[*only] == "" {
			return fmt.Errorf("-provider: want one of %s", strings.Join(names, ", "))
		}
		names = []string{*only}
	}
	return p.runAll(ctx, names, *findings, out)
}

// runAll prints what each provider's requests come to, and writes down what
// something is wrong with.
func (p plan) runAll(ctx context.Context, names []string, folder string, out io.Writer) error {
	bad := 0
	for _, name := range names {
		r, err := p.run(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprint(out, r)
		for _, f := range r.findings {
			where := filepath.Join(folder, fmt.Sprintf("badinput-%s-%d-%d.http", name, p.seed, f.number))
			if err := os.WriteFile(where, f.raw, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(out, "  WRONG: request %d: %.400v\n         go run ./shared/bench/badinput -replay %s\n", f.number, f.err, where)
		}
		for _, what := range r.problems() {
			fmt.Fprintf(out, "  WRONG: %s\n", what)
		}
		bad += len(r.findings) + len(r.problems())
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d things are wrong", bad)
	}
	fmt.Fprintln(out, "nothing is wrong")
	return nil
}

func (r result) String() string {
	var refused []string
	for status, n := range r.refused {
		if n > 0 {
			refused = append(refused, fmt.Sprintf("%d × %d %s", n, status, strings.ToLower(http.StatusText(status))))
		}
	}
	again := "the same event ids"
	if r.provider == "smartbots" {
		again = "new event ids: without a natural key nothing is de-duplicated"
	}
	return fmt.Sprintf(`%s: %d requests in %v: %d panics, %d answers with 5xx
  accepted       %d, with %d events of %d bytes, each byte of which came out of its message
  sent again     %d of these, %d recognised: %s
  refused        %s
  not HTTP       %d: net/http refuses them before any handler
  kept           %d different events went on to the embedded backend and the worker: %d read back byte for byte, %d deliveries, %d failures of the worker
`, r.provider, r.requests, r.took.Round(time.Second), r.panics, r.failures, r.accepted, r.arrived, r.bytes, r.accepted, r.recognised, again,
		strings.Join(refused, ", "), r.notHTTP, r.kept, r.stored, r.delivered, len(r.faults))
}

// replayFile plays one request. A proof that was good when it was made is made
// anew.
func replayFile(ctx context.Context, file string, out io.Writer) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, plant{})
	if err != nil {
		return err
	}
	defer w.close()
	raw = provenNow(raw, time.Now())
	j := newJudge(providerOf(raw), w)
	got, _, err := j.send(ctx, raw, false)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: status %d, answer %q, %d messages\n", j.name, got.status, got.body, len(got.messages))
	return j.judge(ctx, raw, false)
}
