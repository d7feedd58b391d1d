package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// compared are the scenarios that two commits can be compared by. The others
// write into a runner's file with code of this tree, or compare by themselves.
var compared = []string{"callbacks", "fanout", "latency"}

// comparedColumns are what a comparison tells of each row, if it has them.
var comparedColumns = [...]column{accepted, delivered, share, p50, p99, cpu, objects, kib, memory}

const comparisonLegend = `A, B          medians of the pairs; B ÷ A: lowest–median–highest of each pair's own ratio`

// parseAgainst narrows what is played to what can be compared.
func (b *bench) parseAgainst() error {
	if b.soakFor > 0 || b.runs != 1 || b.pairs < 1 {
		return errors.New("want -against with -pairs of 1 or more, and without -soak and -runs")
	}
	if len(b.only) == 0 {
		b.only = compared
	}
	for _, name := range b.only {
		if !slices.Contains(compared, name) {
			return fmt.Errorf("-only %s: want some of %s with -against", name, strings.Join(compared, ", "))
		}
	}
	b.runs, b.fanOuts, b.rates = b.pairs, []int{1, 10}, []int{50, 500}
	return nil
}

// buildOther builds the runner of the commit that this tree is compared with,
// and makes b.other of it. The commit's files are below b.scratch, and go with it.
func (b *bench) buildOther(ctx context.Context) error {
	commit, err := tool(ctx, "", "git", "rev-parse", "--short", "--verify", "--end-of-options", b.against+"^{commit}")
	if err != nil {
		return fmt.Errorf("commit %q: %w", b.against, err)
	}
	root, err := tool(ctx, "", "git", "rev-parse", "--show-toplevel") // in a folder below, archive takes that folder alone
	if err != nil {
		return err
	}
	tree := filepath.Join(b.scratch, commit)
	if err := os.Mkdir(tree, 0o700); err != nil {
		return err
	}
	if _, err := tool(ctx, root, "git", "archive", "-o", tree+".tar", commit); err != nil {
		return err
	}
	if _, err := tool(ctx, tree, "tar", "-xf", tree+".tar"); err != nil {
		return err
	}
	other := *b
	other.label = "A, " + commit
	b.label, b.other = "B, this tree", &other
	if b.profiles != "" {
		other.profiles = filepath.Join(b.profiles, commit)
	}
	other.binary, err = build(ctx, tree, tree)
	return err
}

// tool runs a command in a folder and returns what it writes; an error holds
// what it complains of.
func tool(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s %s: %w\n%s", name, args[0], err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// comparison returns a line for each figure of rows that both tables have: both
// medians, and the spread of ratios. Run i of a row is compared with run i of
// the same row; a run that has no counterpart does not count.
func comparison(a, b table) [][]string {
	var lines [][]string
	for i := range min(len(a), len(b)) {
		for _, c := range comparedColumns {
			as, bs := a[i].figures(c), b[i].figures(c)
			n := min(len(as), len(bs))
			if n == 0 || c == accepted && len(a[i].figures(delivered)) > 0 {
				continue
			}
			lines = append(lines, []string{
				a[i].what + ": " + headings[c].title, number(median(as[:n])), number(median(bs[:n])), spread(ratios(as[:n], bs[:n]), thousandths),
			})
		}
	}
	return lines
}

func thousandths(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

// ratios returns how many times as much as in a there is in b, element by
// element, without those of nothing.
func ratios(a, b []float64) []float64 {
	var out []float64
	for i := range a {
		if a[i] != 0 {
			out = append(out, b[i]/a[i])
		}
	}
	return out
}

// printComparison writes how this tree compares with the other commit.
func (b *bench) printComparison(out io.Writer) {
	lines := slices.Concat([][]string{{"", b.other.label, b.label, "B ÷ A"}}, comparison(b.other.table, b.table))
	if !b.markdown {
		writeText(out, lines)
		fmt.Fprintf(out, "\n%s\n%s\n", comparisonLegend, legend)
		return
	}
	for i, l := range lines {
		fmt.Fprintf(out, "| %s |\n", strings.Join(l, " | "))
		if i == 0 {
			fmt.Fprintln(out, "|---|---:|---:|---:|")
		}
	}
}
