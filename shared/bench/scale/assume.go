package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Assumptions are all that a run depends on. Figures are of the whole gateway,
// before sampling.
type Assumptions struct {
	Rate float64       // callbacks a second, of one event of 1 KiB each
	For  time.Duration // how long they come

	PerSource     float64 // callbacks a second of each source but the noisy one
	Registrations int     // of each; an event is for one of them
	Dead          float64 // share of them whose endpoint accepts nothing
	Hangs         float64 // share of the dead ones that never answer; the others answer 500
	Noisy         float64 // share of the callbacks that one tenant's registration gets
	Neighbours    int     // other tenants' registrations on its source

	Answer      time.Duration // median of endpoints' answers
	NoisyAnswer time.Duration // of the noisy tenant's
	CPU         time.Duration // that the worker spends on an event, at a full core

	Throttle    float64 // callbacks a second, by the stage's route settings
	Burst       float64 // of them
	Concurrency float64 // WorkerConcurrency, for each of the events and the retry queue
	Batch       int     // messages of an invocation, at most
	Slow        float64 // SlowConcurrency
	Memory      float64 // of each function, MB
	WarmWrites  float64 // of the deliveries table, 0: 4,000
	WarmReads   float64 // of the registrations table, 0: 12,000
	Brake       int     // of Retry
	Account     float64 // concurrent executions that the account may have
	AccountRate float64 // requests a second that API Gateway takes of the account

	Sample int    // one of so many sources is played
	Seed   uint64 // the same makes the same run

	warm bool // all workers are there from the start
}

// Sized is a Size of the template, in an account with the quotas that the README
// wants for it and at a load that it carries. A test compares it with
// template.yaml. It is small if size is none.
func Sized(size string) Assumptions {
	a := load()
	a.Brake = 10_000
	a.AccountRate = 10_000 // "Amazon API Gateway quotas": per account and Region
	switch size {
	case "medium":
		a.Rate, a.Throttle, a.Burst = 2000, 3000, 5000
		a.Concurrency, a.Batch, a.Slow, a.Memory, a.WarmWrites = 100, 50, 30, 512, 8000
		a.Account, a.Sample = 1000, 20 // "Lambda quotas"
	case "large":
		a.Rate, a.Throttle, a.Burst = 10_000, 15_000, 15_000
		a.Concurrency, a.Batch, a.Slow, a.Memory, a.WarmWrites, a.WarmReads = 400, 50, 100, 1024, 60_000, 100_000
		a.Account, a.AccountRate, a.Sample = 3000, 20_000, 200
	default:
		a.Rate, a.Throttle, a.Burst = 20, 2000, 4000
		a.Concurrency, a.Batch, a.Slow, a.Memory = 2, 10, 2, 256
		a.Account, a.Sample = 10, 1 // of a new account
	}
	return a
}

func load() Assumptions {
	return Assumptions{
		For: time.Hour, PerSource: 10, Registrations: 20, Dead: 0.05, Hangs: 0.5, Noisy: 0.2, Neighbours: 100,
		Answer: 150 * time.Millisecond, NoisyAnswer: 150 * time.Millisecond, CPU: 700 * time.Microsecond, Seed: 1,
	}
}

// A mode is what to do besides playing one run.
type mode struct {
	find    bool
	closeUp time.Duration
}

// flags reads the command's flags. It ends the process if they are wrong.
func flags(args []string) (Assumptions, mode) {
	a, m := Sized("large"), mode{}
	if len(args) > 1 && strings.TrimLeft(args[0], "-") == "size" {
		a = Sized(args[1]) // before the others, which change it
	}
	f := flag.NewFlagSet("scale", flag.ExitOnError)
	f.String("size", "large", "begin with this Size of the template, and the account that it needs: small, medium or large; the first flag")
	f.BoolVar(&m.find, "find", false, "find the largest rate that is carried, by bisection")
	f.DurationVar(&m.closeUp, "closeup", 10*time.Second, "how long the noisy source is played in full to see its keys; 0: not")
	f.IntVar(&a.Sample, "sample", a.Sample, "play one of so many sources")
	f.Uint64Var(&a.Seed, "seed", a.Seed, "the same seed makes the same run")
	f.Float64Var(&a.Rate, "rate", a.Rate, "callbacks a second")
	f.DurationVar(&a.For, "for", a.For, "how long they come")
	f.Float64Var(&a.PerSource, "per-source", a.PerSource, "callbacks a second of each source but the noisy one")
	f.IntVar(&a.Registrations, "registrations", a.Registrations, "registrations of each")
	f.Float64Var(&a.Dead, "dead", a.Dead, "share of the registrations whose endpoint accepts nothing")
	f.Float64Var(&a.Hangs, "hangs", a.Hangs, "share of the dead ones that never answer")
	f.Float64Var(&a.Noisy, "noisy", a.Noisy, "share of the callbacks that are one tenant's")
	f.IntVar(&a.Neighbours, "neighbours", a.Neighbours, "registrations of others on its source")
	f.DurationVar(&a.Answer, "answer", a.Answer, "median of the endpoints' answers")
	f.DurationVar(&a.NoisyAnswer, "noisy-answer", a.NoisyAnswer, "median of the noisy tenant's endpoint")
	f.DurationVar(&a.CPU, "cpu", a.CPU, "CPU that the worker spends on an event, at a full core")
	f.Float64Var(&a.Throttle, "throttle", a.Throttle, "ThrottlingRateLimit of the stage")
	f.Float64Var(&a.Burst, "burst", a.Burst, "ThrottlingBurstLimit of the stage")
	f.Float64Var(&a.Concurrency, "concurrency", a.Concurrency, "WorkerConcurrency")
	f.IntVar(&a.Batch, "batch", a.Batch, "BatchSize of the events and the retry queue; more than 10 wait for each other for up to a second")
	f.Float64Var(&a.Slow, "slow-concurrency", a.Slow, "SlowConcurrency")
	f.Float64Var(&a.Memory, "memory", a.Memory, "MemorySize of the functions, MB")
	f.Float64Var(&a.WarmWrites, "warm-writes", a.WarmWrites, "WarmWrites: writes a second that the deliveries table takes at once")
	f.Float64Var(&a.WarmReads, "warm-reads", a.WarmReads, "reads a second that the registrations table takes at once")
	f.IntVar(&a.Brake, "brake", a.Brake, "MAX_BACKLOG")
	f.Float64Var(&a.Account, "account", a.Account, "concurrent executions of the account")
	f.Float64Var(&a.AccountRate, "account-rate", a.AccountRate, "requests a second that API Gateway takes of the account")
	f.Parse(args)
	if err := a.check(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	return a, m
}

func (a Assumptions) check() error {
	switch {
	case a.Sample < 1 || a.Rate <= 0 || a.For <= 0 || a.Batch < 1 || a.PerSource <= 0 || a.Registrations < 1:
		return fmt.Errorf("sample, rates, time, batch and registrations must be positive")
	case a.Concurrency < float64(a.Sample):
		return fmt.Errorf("a sample of 1/%d leaves none of %.0f workers", a.Sample, a.Concurrency)
	}
	return nil
}

// print writes a as the report's head.
func (a Assumptions) print(w io.Writer) {
	fmt.Fprintf(w, "load        %.0f callbacks/s for %v, 1 KiB, one event each, for one registration; seed %d\n", a.Rate, a.For, a.Seed)
	fmt.Fprintf(w, "            %.0f sources of %.0f callbacks/s and %d registrations; %.0f %% dead from the start, of which %.0f %% hang for 15 s and the others answer 500\n",
		a.Rate*(1-a.Noisy)/a.PerSource, a.PerSource, a.Registrations, 100*a.Dead, 100*a.Hangs)
	fmt.Fprintf(w, "            one more source with a noisy tenant (%.0f %% of all callbacks) and %d neighbours\n", 100*a.Noisy, a.Neighbours)
	fmt.Fprintf(w, "            endpoints answer within %v, the noisy one within %v (medians; 1 of 100 takes %.1f times as long)\n", a.Answer, a.NoisyAnswer, tail)
	fmt.Fprintf(w, "deployment  WorkerConcurrency %.0f, batch %d, SlowConcurrency %.0f, batch %d, %.0f MB, throttle %.0f/s burst %.0f, warm writes %.0f, warm reads %.0f, brake %d\n",
		a.Concurrency, a.Batch, a.Slow, slowBatch, a.Memory, a.Throttle, a.Burst, max(a.WarmWrites, newWrites), max(a.WarmReads, newReads), a.Brake)
	fmt.Fprintf(w, "account     %.0f concurrent executions, %.0f requests/s of API Gateway\n", a.Account, a.AccountRate)
	fmt.Fprintf(w, "model       DynamoDB %v a call, SQS %v, CPU %v an event at a full core, cold start %v\n", dynamoTime, sqsTime, a.CPU, coldTime)
	fmt.Fprintf(w, "sample      1 of %d sources; limits that all share have 1/%d of their size; the noisy source is thinned to 1/%d\n\n", a.Sample, a.Sample, a.Sample)
}
