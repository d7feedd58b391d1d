package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A report is what a run came to.
type report struct {
	seed      uint64
	possible  []*change
	verdicts  []verdict
	leftOut   []string          // tests
	sentences map[string]string // why a mutant may survive
}

// mostExcused is how many of all mutants may survive by a sentence.
const mostExcused = 0.05

// failure returns what is wrong, or nil.
func (r report) failure() error {
	open, excused, untried := 0, 0, 0
	for _, v := range r.verdicts {
		switch {
		case v.fate == notTried:
			untried++
		case v.survives() && r.sentences[v.String()] == "":
			open++
		case v.survives():
			excused++
		}
	}
	var errs []error
	if open > 0 {
		errs = append(errs, fmt.Errorf("%d mutants survive without a sentence", open))
	}
	if most := mostExcused * float64(len(r.verdicts)); float64(excused) > most {
		errs = append(errs, fmt.Errorf("%d mutants survive by a sentence: want at most %.0f", excused, most))
	}
	if untried > 0 {
		errs = append(errs, fmt.Errorf("%d mutants were not tried in time", untried))
	}
	if old := r.outdated(); len(old) > 0 {
		errs = append(errs, fmt.Errorf("no mutant is called %s", strings.Join(old, ", or ")))
	}
	return errors.Join(errs...)
}

// outdated returns what sentences name though there is no such mutant.
func (r report) outdated() (names []string) {
	possible, folders := map[string]bool{}, map[string]bool{}
	for _, c := range r.possible {
		possible[c.String()], folders[c.source.folder] = true, true
	}
	for name := range r.sentences {
		if file, _, _ := strings.Cut(name, " "); folders[path.Dir(file)] && !possible[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (v verdict) survives() bool { return v.fate == survived || v.fate == notReached }

// String returns the tables.
func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d drew %d of %d possible mutants.\n\n", r.seed, len(r.verdicts), len(r.possible))
	if len(r.leftOut) > 0 {
		fmt.Fprintf(&b, "Left out: %s.\n\n", strings.Join(r.leftOut, "; "))
	}
	fates := []fate{killed, timedOut, survived, notReached, notTried}
	fmt.Fprintf(&b, "| package | possible | drawn | killed | timed out | survived | not reached | not tried |\n|---|%s\n", strings.Repeat("---:|", 2+len(fates)))
	var folders []string
	for _, c := range r.possible {
		if !slices.Contains(folders, c.source.folder) {
			folders = append(folders, c.source.folder)
		}
	}
	for _, folder := range append(folders, "") {
		r.row(&b, folder, fates)
	}
	fmt.Fprint(&b, "\n| survivor | mutation | tests that reach it | why it may |\n|---|---|---|---|\n")
	for _, v := range r.verdicts {
		if v.survives() {
			mutation := strings.ReplaceAll(fmt.Sprintf("`` %s `` → `` %s ``", v.before, v.after), "|", `\|`)
			fmt.Fprintf(&b, "| %s:%d %s%s | %s | %s | %s |\n", v.name(), v.line, v.function, v.ordinal(), mutation, v.tests(), r.sentences[v.String()])
		}
	}
	return b.String()
}

// row counts the mutants of folder, or all.
func (r report) row(b *strings.Builder, folder string, fates []fate) {
	inside := func(c *change) bool { return folder == "" || c.source.folder == folder }
	possible, drawn, counts := 0, 0, map[fate]int{}
	for _, c := range r.possible {
		if inside(c) {
			possible++
		}
	}
	for _, v := range r.verdicts {
		if inside(v.change) {
			drawn++
			counts[v.fate]++
		}
	}
	name := folder
	if name == "" {
		name = "all"
	}
	fmt.Fprintf(b, "| %s | %d | %d |", name, possible, drawn)
	for _, f := range fates {
		fmt.Fprintf(b, " %d |", counts[f])
	}
	b.WriteString("\n")
}

func (v verdict) tests() string {
	switch {
	case v.fate == notReached:
		return "none"
	case v.tried < v.reaching:
		return fmt.Sprintf("%d, of which %d ran in time", v.reaching, v.tried)
	}
	return fmt.Sprint(v.reaching)
}
