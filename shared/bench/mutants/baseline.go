package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringback/shared/bench/mutants/mutant"
)

// longest is how long a test may take that is run at all.
const longest = 20 * time.Second

// A test is one of a binary, and what it does without any mutant.
type test struct {
	binary
	name    string
	took    time.Duration
	reaches []int // numbers of mutants
}

// baseline runs each test alone. What fails, or takes too long, is left out.
func baseline(ctx context.Context, binaries []binary) (tests []test, leftOut []string, err error) {
	for _, b := range binaries {
		names, err := b.names(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list the tests of %s: %w", b.folder, err)
		}
		for _, name := range names {
			tests = append(tests, test{binary: b, name: name})
		}
	}
	why := make([]string, len(tests))
	each(len(tests), func(i int) { why[i] = tests[i].alone(ctx, i) })
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("run each test alone: %w", err)
	}
	var kept []test
	for i, t := range tests {
		if why[i] != "" {
			leftOut = append(leftOut, t.folder+" "+t.name+" "+why[i])
		} else if len(t.reaches) > 0 {
			kept = append(kept, t)
		}
	}
	return kept, leftOut, nil
}

// alone runs t and notes what it reaches, or returns why it is left out.
func (t *test) alone(ctx context.Context, i int) (why string) {
	file := filepath.Join(t.temp, "reached-"+strconv.Itoa(i))
	passed, took, _ := t.run(ctx, []string{t.name}, longest, mutant.Reached+"="+file)
	if !passed { // one that builds something finds it built
		passed, took, _ = t.run(ctx, []string{t.name}, longest, mutant.Reached+"="+file)
	}
	switch {
	case !passed && took >= longest:
		return "takes longer than " + longest.String()
	case !passed:
		return "fails"
	}
	t.took = took
	numbers, err := os.ReadFile(file)
	if err != nil {
		return "" // none
	}
	for line := range strings.Lines(string(numbers)) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && !slices.Contains(t.reaches, n) {
			t.reaches = append(t.reaches, n)
		}
	}
	return ""
}

// each calls f for the numbers below n, as many at once as there are processors.
func each(n int, f func(i int)) {
	next := make(chan int)
	var working sync.WaitGroup
	for range runtime.NumCPU() {
		working.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	working.Wait()
}
