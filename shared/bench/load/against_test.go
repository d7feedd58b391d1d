package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ringback/shared/test/proofs"
)

func TestComparisonPairsRunsOfTheSameRow(t *testing.T) {
	var a, b table
	for i := range 4 {
		a.add("fan-out 1", "fanout", measurement{accepted: 1, delivered: []float64{100, 200, 400, 800}[i], cpu: 0.2, lost: 0})
		b.add("fan-out 1", "fanout", measurement{accepted: 1, delivered: []float64{110, 180, 400, 960}[i], cpu: 0.1, lost: 0})
	}
	a.add("callbacks", "callbacks", measurement{accepted: 50, cpu: 0})
	b.add("callbacks", "callbacks", measurement{accepted: 75, cpu: 0.01})
	a.add("50/s", "latency", measurement{p99: 4})
	a.add("50/s", "latency", measurement{p99: 8}) // b was interrupted
	b.add("50/s", "latency", measurement{p99: 6})
	a.add("500/s", "latency", measurement{p99: 4})
	want := [][]string{
		{"fan-out 1: deliveries/s", "300", "290", "0.900–1.050–1.200"}, // of the medians it is 0.967
		{"fan-out 1: CPU s/1,000", "0.200", "0.100", "0.500"},
		{"callbacks: callbacks/s", "50", "75", "1.500"},
		{"callbacks: CPU s/1,000", "0", "0.010", ""},
		{"50/s: p99 ms", "4", "6", "1.500"},
	}
	if got := comparison(a, b); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("comparison:\n%q\nwant\n%q", got, want)
	}
}

func TestComparisonKnowsWhatCanBeCompared(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // of the error; empty: there is none
	}{
		{"-against HEAD", ""},
		{"-against HEAD -pairs 3 -only latency,callbacks", ""},
		{"-against HEAD -only fanout,kill", "-only kill: want some of callbacks, fanout, latency"},
		{"-against HEAD -pairs 0", "want -against with"},
		{"-against HEAD -runs 3", "want -against with"},
		{"-against HEAD -soak 1m", "want -against with"},
	} {
		err := newBench().parse(strings.Fields(tt.args))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("parse(%s) = %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestTreeIsComparedWithACommit(t *testing.T) {
	if !proofs.Full() {
		t.Skip("builds a second runner, for RINGBACK_PROOFS=full")
	}
	b := comparing(t, "HEAD")
	scratch := b.scratch
	var out bytes.Buffer
	if err := b.command(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| A, ", "| B, this tree | B ÷ A |", "bare HTTP exchanges/s: ", "\n| fan-out 3 from 64 connections: deliveries/s | ",
		": of bare | ", ": CPU s/1,000 | ", ": allocations | ", ": allocated KiB | ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	for _, side := range []*bench{b.other, b} {
		for _, r := range side.table {
			if len(r.runs) != 2 || len(r.figures(share)) != 2 {
				t.Errorf("%s: %d runs with %d shares of bare exchanges, want 2 and 2", side.labelled(r.what), len(r.runs), len(r.figures(share)))
			}
		}
	}
	wantEmpty(t, scratch)
}

func TestUnknownCommitIsToldAndLeavesNothing(t *testing.T) {
	b := comparing(t, "--no-such-commit")
	scratch := b.scratch
	if err := b.command(t.Context(), t.Output()); err == nil || !strings.Contains(err.Error(), `commit "--no-such-commit"`) {
		t.Errorf("command = %v, want that the commit is unknown", err)
	}
	wantEmpty(t, scratch)
}

// comparing returns a bench that compares this tree with a commit in little.
func comparing(t *testing.T, commit string) *bench {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "git", "rev-parse", "--verify", "HEAD").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("these files are in no git repository: ", err)
		}
		t.Skip("these files are in no git repository: ", err)
	}
	b := small(t, nil, "fanout")
	b.against, b.runs, b.fanOuts, b.markdown = commit, 2, []int{3}, true
	return b
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, left, err)
	}
}
