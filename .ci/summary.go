// Command summary reads what go test -json prints. It prints a line for each
// package, what failed tests wrote, the names of tests that were skipped, and
// last the numbers of test functions that passed, failed and were skipped. It
// exits 1 if anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// An event is a line of go test -json (go doc test2json; go help buildjson).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// A tally is what was seen so far.
type tally struct {
	to                      io.Writer
	passed, failed, skipped int
	broken                  bool                 // a package failed
	of                      map[string]int       // tests that passed, by package
	said                    map[[2]string]string // by package and test, of those that have not ended
}

func main() {
	s := tally{to: os.Stdout, of: map[string]int{}, said: map[[2]string]string{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Fprintln(s.to, in.Text()) // of the go command itself
			continue
		}
		s.take(e)
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(s.to, err)
		s.broken = true
	}
	fmt.Fprintf(s.to, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.broken || s.failed > 0 {
		os.Exit(1)
	}
}

func (s *tally) take(e event) {
	at := [2]string{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(s.to, e.Output)
	case e.Action == "output":
		s.said[at] += e.Output
	case e.Test == "":
		s.takePackage(e)
	case e.Action == "fail":
		fmt.Fprint(s.to, s.said[at])
		delete(s.said, at)
		if !strings.Contains(e.Test, "/") {
			s.failed++
		}
	case e.Action == "pass" || e.Action == "skip":
		s.end(e, s.said[at])
		delete(s.said, at)
	}
}

// end counts a test function that did not fail.
func (s *tally) end(e event, said string) {
	if e.Action == "skip" {
		fmt.Fprintf(s.to, "skip\t%s %s\n%s", e.Package, e.Test, said)
	}
	switch {
	case strings.Contains(e.Test, "/"):
	case e.Action == "skip":
		s.skipped++
	default:
		s.passed++
		s.of[e.Package]++
	}
}

// takePackage tells how a package ended. If it failed, so do its tests that
// have no end: one of them took the process along.
func (s *tally) takePackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.to, "ok\t%s\t%.1fs\t%d tests\n", e.Package, e.Elapsed, s.of[e.Package])
	case "skip":
		fmt.Fprintf(s.to, "?\t%s\tno tests\n", e.Package)
	case "fail":
		s.broken = true
		for at, said := range s.said {
			if at[0] == e.Package && at[1] != "" {
				fmt.Fprint(s.to, said)
			}
		}
		fmt.Fprint(s.to, s.said[[2]string{e.Package, ""}])
		fmt.Fprintf(s.to, "FAIL\t%s\t%.1fs\n", e.Package, e.Elapsed)
	default:
		return
	}
	for at := range s.said {
		if at[0] == e.Package {
			delete(s.said, at)
		}
	}
}
