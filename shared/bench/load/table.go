package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"ringback/shared/bench/quantile"
)

// A column is one kind of figure.
type column int

const (
	accepted column = iota
	delivered
	share
	p50
	p95
	p99
	lateness
	ratio
	firstAfter
	cpu
	ownCost
	objects
	kib
	memory
	file
	acknowledged
	lost
	duplicated
	columns
)

// A heading is how a column is headed, and how the README tells of it; without
// a phrase it does not.
type heading struct{ title, phrase string }

var headings = [columns]heading{
	accepted:     {"callbacks/s", "%s callbacks/s"},
	delivered:    {"deliveries/s", "%s deliveries/s"},
	share:        {"of bare", "%s of bare exchanges/s"},
	p50:          {"p50 ms", "p50 %s ms"},
	p95:          {"p95 ms", "p95 %s ms"},
	p99:          {"p99 ms", "p99 %s ms"},
	lateness:     {"late ms", ""},
	ratio:        {"p99 ÷ alone", "%s times the p99 alone"},
	firstAfter:   {"first ms", "the first after %s ms"},
	cpu:          {"CPU s/1,000", "%s CPU s per 1,000"},
	ownCost:      {"load's own", ""},
	objects:      {"allocations", "%s allocations"},
	kib:          {"allocated KiB", "%s KiB allocated"},
	memory:       {"peak MiB", "peak %s MiB"},
	file:         {"file MiB", ""},
	acknowledged: {"acknowledged", "%s acknowledged"},
	lost:         {"lost", "%s lost"},
	duplicated:   {"twice", "%s twice"},
}

const legend = `callbacks/s   accepted durably; deliveries/s: until the last one arrived
of bare       deliveries/s (callbacks/s, where nobody is registered) as a share of bare HTTP exchanges/s: POSTs of 1 KiB, answered by an
              empty 200, of net/http to another process over 64 connections; of those before and after, the lower ones
p50 p95 p99   from when a callback was due to be sent until it arrived; late: how much later than due it was sent, p99
first ms      from the call that releases deliveries until the first of them arrived
CPU s/1,000   processor time of the runner for 1,000 deliveries (callbacks, where nobody is registered); load's own: of generator and receiver, the same
allocations   of the runner for one delivery (callback, where nobody is registered), and how much they are
peak MiB      of the runner's resident memory; file: database and its log at the end
acknowledged  callbacks, those before what is measured included; lost: deliveries of them that did not arrive
twice         deliveries that arrived again at the same endpoint under the same webhook-id`

// A measurement is what one run of a row tells; of other columns it tells
// nothing.
type measurement map[column]float64

// times notes how long the callbacks from number from up to number to took.
func (m measurement) times(l *ledger, from, to int) {
	took := l.took(from, to)
	m[p50], m[p95], m[p99] = percentile(took, 50), percentile(took, 95), percentile(took, 99)
	m[lateness] = percentile(l.lateness(from, to), 99)
}

// share notes what share of bare exchanges a second the last runs' rates are.
func (t table) share(bare float64) {
	for _, r := range t {
		m := r.runs[len(r.runs)-1]
		if rate := cmp.Or(m[delivered], m[accepted]); rate > 0 {
			m[share] = rate / bare
		}
	}
}

// A row is what was measured, once a run.
type row struct {
	what    string
	command string // the scenario, for -only
	runs    []measurement
}

// A table keeps rows in the order of their first measurement.
type table []*row

func (t *table) add(what, command string, m measurement) {
	i := slices.IndexFunc(*t, func(r *row) bool { return r.what == what })
	if i < 0 {
		i = len(*t)
		*t = append(*t, &row{what: what, command: command})
	}
	(*t)[i].runs = append((*t)[i].runs, m)
}

// figures returns a row's figure of each run that has it.
func (r *row) figures(c column) []float64 {
	var vs []float64
	for _, m := range r.runs {
		if v, ok := m[c]; ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// cell returns the spread of a row's figure over the runs.
func (r *row) cell(c column) string { return spread(r.figures(c), number) }

// spread tells figures as lowest–median–highest, equal ones as one, none as "".
func spread(vs []float64, text func(float64) string) string {
	if len(vs) == 0 {
		return ""
	}
	low, high := text(slices.Min(vs)), text(slices.Max(vs))
	if low == high {
		return low
	}
	return low + "–" + text(median(vs)) + "–" + high
}

func median(vs []float64) float64 { return quantile.Of(slices.Sorted(slices.Values(vs)), 0.5) }

// number writes v with three digits, or all before the point.
func number(v float64) string {
	digits := 0
	if v != 0 && math.Abs(v) < 100 {
		digits = min(2-int(math.Floor(math.Log10(math.Abs(v)))), 3)
	}
	if v == math.Trunc(v) {
		digits = 0
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		rest = "." + rest
	}
	return whole + rest
}

// cells returns the table with its titles, without columns that are empty.
func (t table) cells() [][]string {
	lines := make([][]string, len(t)+1)
	lines[0] = []string{""}
	for i, r := range t {
		lines[i+1] = []string{r.what}
	}
	for c := range columns {
		told := func(r *row) bool { return r.cell(c) != "" }
		if !slices.ContainsFunc(t, told) {
			continue
		}
		lines[0] = append(lines[0], headings[c].title)
		for i, r := range t {
			lines[i+1] = append(lines[i+1], r.cell(c))
		}
	}
	return lines
}

// writeText writes lines of cells in columns.
func writeText(w io.Writer, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, l := range lines {
		for i, cell := range l {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				fmt.Fprint(w, cell, pad)
				continue
			}
			fmt.Fprint(w, "  ", pad, cell)
		}
		fmt.Fprintln(w)
	}
}

// markdown writes the table as the README has it.
func (t table) markdown(w io.Writer) {
	for _, r := range t {
		var phrases []string
		for c := range columns {
			if cell := r.cell(c); cell != "" && headings[c].phrase != "" {
				phrases = append(phrases, fmt.Sprintf(headings[c].phrase, cell))
			}
		}
		markdownRow(w, r.what, strings.Join(phrases, ", "), "-only "+r.command)
	}
}

const markdownHead = "| what | figure | command |\n|---|---|---|\n"

func markdownRow(w io.Writer, what, figure, flags string) {
	fmt.Fprintf(w, "| %s | %s | `go run ./shared/bench/load %s` |\n", what, figure, flags)
}

// brief writes what one measurement tells, on one line.
func (m measurement) brief() string {
	var parts []string
	for c := range columns {
		if v, ok := m[c]; ok {
			parts = append(parts, headings[c].title+" "+number(v))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}
