package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"ringback/shared/bench/mutants/mutant"
)

const (
	together  = 3 * time.Second  // of tests that run in one process
	leastTime = 10 * time.Second // that tests may take, however quick they are
)

// A fate is what became of a mutant.
type fate string

const (
	killed     fate = "killed"
	timedOut   fate = "timed out" // killed as well
	survived   fate = "survived"
	notReached fate = "not reached"
	notTried   fate = "not tried" // the budget was spent
)

// A verdict is a mutant's fate.
type verdict struct {
	mutation
	fate
	tried, reaching int    // tests that passed, of those that reach it
	by              string // what failed
}

// judgeAll tries all of ms, as long as ctx lasts.
func judgeAll(ctx context.Context, ms []mutation, tests []test, log io.Writer) []verdict {
	verdicts := make([]verdict, len(ms))
	var done atomic.Int64
	each(len(ms), func(i int) {
		begun := time.Now()
		v := judge(ctx, ms[i], tests, share(ctx, len(ms)-int(done.Load())))
		fmt.Fprintf(log, "%d/%d %s in %v, %d of %d tests %s: %v\n", done.Add(1), len(ms), v.fate, time.Since(begun).Round(time.Millisecond), v.tried, v.reaching, v.by, v)
		verdicts[i] = v
	})
	return verdicts
}

// share returns how long one of so many mutants may take: four times its part of
// what is left of ctx, since most take a second, and of the last ones half.
func share(ctx context.Context, left int) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	rest := time.Until(end)
	return min(rest/2, 4*rest*time.Duration(runtime.NumCPU())/time.Duration(left))
}

// judge runs the tests that reach m until one notices, or no time is left. Tests
// that fail without m as well say nothing of it.
func judge(ctx context.Context, m mutation, tests []test, within time.Duration) verdict {
	tests = slices.DeleteFunc(slices.Clone(tests), func(t test) bool { return !slices.Contains(t.reaches, m.number) })
	v := verdict{mutation: m, fate: survived, reaching: len(tests)}
	if len(tests) == 0 {
		v.fate = notReached
		return v
	}
	begun := time.Now()
	for _, b := range batches(m.source.folder, tests) {
		if v.tried > 0 && time.Since(begun) > within {
			break
		}
		limit := max(leastTime, 5*b.took)
		passed, took, out := b.run(ctx, b.names, limit, mutant.Chosen+"="+strconv.Itoa(m.number))
		if !passed {
			if healthy, _, _ := b.run(ctx, b.names, limit); !healthy {
				continue
			}
			v.fate, v.by = killed, why(out)
			if took >= limit {
				v.fate = timedOut
			}
			return v
		}
		v.tried += len(b.names)
	}
	if ctx.Err() != nil {
		v.fate = notTried
	}
	return v
}

// A batch is some tests of one binary.
type batch struct {
	binary
	names []string
	took  time.Duration
}

// batches puts the tests of folder first, then those that are about as quick as
// each other, package by package.
func batches(folder string, tests []test) (all []batch) {
	own := func(t test) int {
		if t.folder == folder {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(tests, func(a, b test) int {
		slow := func(t test) int { return bits.Len64(uint64(t.took/(100*time.Millisecond))) / 2 }
		return cmp.Or(own(b)-own(a), cmp.Compare(slow(a), slow(b)), cmp.Compare(a.folder, b.folder), cmp.Compare(a.took, b.took))
	})
	for _, t := range tests {
		last := len(all) - 1
		if last < 0 || all[last].binary != t.binary || all[last].took+t.took > together {
			all = append(all, batch{binary: t.binary})
			last++
		}
		all[last].names = append(all[last].names, t.name)
		all[last].took += t.took
	}
	return all
}
