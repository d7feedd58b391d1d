package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	root  = "../../.."
	small = "shared/bench/mutants/testdata/small"
)

var smallTarget = []target{{small, []string{small}}}

// TestEachMutantMeetsItsFate tries all possible mutants of a package that has one
// place for each kind.
func TestEachMutantMeetsItsFate(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a test binary and runs it a hundred times")
	}
	want, err := os.ReadFile("testdata/fates.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := run{root: root, seed: 1, n: 1000, targets: smallTarget, log: io.Discard}.do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, v := range r.verdicts {
		fmt.Fprintf(&got, "%s: %s\n", strings.TrimPrefix(v.String(), small+"/small.go "), v.fate)
	}
	if got.String() != string(want) {
		t.Errorf("fates:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestMutantsFollowFromTheSeed(t *testing.T) {
	sources := loadSmall(t)
	possible := findAll(sources)
	names := func(seed uint64) (all []string) {
		ms, err := draw(sources, possible, seed, 5)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range ms {
			if m.number != i+1 {
				t.Errorf("mutant %d of the text has number %d", i+1, m.number)
			}
			all = append(all, m.String())
		}
		return all
	}
	if a, b, c := names(1), names(1), names(2); !slices.Equal(a, b) || slices.Equal(a, c) || len(a) != 5 {
		t.Errorf("seed 1 draws %q and %q, seed 2 draws %q", a, b, c)
	}
}

func TestMutantThatDoesNotCompileIsReplaced(t *testing.T) {
	sources := loadSmall(t)
	possible := findAll(sources)
	for i := range len(possible) / 2 {
		possible[i].edits[0].text += "nonsense "
	}
	want := len(possible) - len(possible)/2
	ms, err := draw(sources, possible, 1, want)
	if err != nil || len(ms) != want || ms[0].change != possible[len(possible)/2] {
		t.Errorf("drawn %d mutants, %v; want the %d that compile", len(ms), err, want)
	}
}

func TestReportFailsForWhatSurvivesUnexplained(t *testing.T) {
	s := &source{target: target{folder: "shared/small"}}
	named := func(name string) *change {
		return &change{source: s, file: "/a/small.go", function: "f", before: name, after: "true", nth: 1}
	}
	verdicts := func(excused int, f fate) (vs []verdict) {
		for range 100 {
			vs = append(vs, verdict{mutation: mutation{change: named("kept")}, fate: killed})
		}
		for i := range excused {
			vs[i] = verdict{mutation: mutation{change: named("same")}, fate: survived}
		}
		vs[99].fate = f
		return vs
	}
	for _, tt := range []struct {
		name     string
		verdicts []verdict
		sentence string // of a mutant
		want     string
	}{
		{"all are killed", verdicts(0, timedOut), "same", ""},
		{"five in a hundred have a sentence", verdicts(5, killed), "same", ""},
		{"six in a hundred have a sentence", verdicts(6, killed), "same", "6 mutants survive by a sentence: want at most 5"},
		{"one has none", verdicts(0, survived), "same", "1 mutants survive without a sentence"},
		{"no test reaches one", verdicts(0, notReached), "same", "1 mutants survive without a sentence"},
		{"the time is over", verdicts(0, notTried), "same", "1 mutants were not tried"},
		{"a sentence is out of date", verdicts(0, killed), "gone", "no mutant is called shared/small/small.go f: gone → true"},
	} {
		r := report{possible: []*change{named("kept"), named("same")}, verdicts: tt.verdicts,
			sentences: map[string]string{named(tt.sentence).String(): "It is as good."}}
		if got := fmt.Sprint(r.failure()); tt.want == "" && r.failure() != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTableQuotesWhatSurvives(t *testing.T) {
	c := &change{source: &source{target: target{folder: "shared/small"}}, file: "/a/small.go", line: 7, function: "f", before: "a || b", after: "a && b", nth: 2}
	r := report{possible: []*change{c}, verdicts: []verdict{{mutation: mutation{change: c}, fate: survived, tried: 3, reaching: 4}},
		sentences: map[string]string{c.String(): "Both are set."}}
	want := "| shared/small/small.go:7 f #2 | `` a \\|\\| b `` → `` a && b `` | 4, of which 3 ran in time | Both are set. |"
	if got := r.String(); !strings.Contains(got, want) {
		t.Errorf("report:\n%s\nwant a line %s", got, want)
	}
}

func TestOwnAndQuickTestsComeFirst(t *testing.T) {
	at := func(folder, name string, took time.Duration) test {
		return test{binary: binary{folder: folder}, name: name, took: took}
	}
	var got []string
	for _, b := range batches("own", []test{
		at("app", "Hour", 9*time.Second), at("app", "Quick", time.Millisecond), at("own", "Slow", 4*time.Second),
		at("api", "Call", 20*time.Millisecond), at("own", "Quick", time.Millisecond), at("app", "Second", 2*time.Millisecond),
	}) {
		got = append(got, b.folder+" "+strings.Join(b.names, "+"))
	}
	want := []string{"own Quick", "own Slow", "api Call", "app Quick+Second", "app Hour"}
	if !slices.Equal(got, want) {
		t.Errorf("batches %q, want %q", got, want)
	}
}

func TestLastMutantsLeaveTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	few, many := share(ctx, 1).Round(time.Minute), share(ctx, 1000).Round(time.Second)
	if want := time.Duration(runtime.NumCPU()) * 14400 * time.Millisecond; few != 30*time.Minute || many != want.Round(time.Second) {
		t.Errorf("of an hour the last mutant may take %v, each of a thousand %v; want 30m and %v", few, many, want)
	}
}

func TestOnlyNamesFolders(t *testing.T) {
	for _, tt := range []struct {
		list, want string
	}{
		{"", "shared/gateway shared/message shared/control shared/embedded shared/cloud shared/egress shared/provider shared/provider/direct shared/provider/form" +
			" shared/provider/item shared/provider/jsonscan shared/provider/smartbots shared/provider/tencentchat"},
		{"cloud,provider/form", "shared/cloud shared/provider/form"},
		{"gate", ""},
	} {
		chosen, err := choose(tt.list)
		var folders []string
		for _, c := range chosen {
			folders = append(folders, c.folder)
		}
		if got := strings.Join(folders, " "); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("choose(%q) = %s, %v, want %s", tt.list, got, err, tt.want)
		}
	}
}

func TestSentencesAreReadByMutant(t *testing.T) {
	got := readSentences("a.go f: x → y\n\tIt is\n\tthe same.\n\nb.go g: x → y #2\n\tNobody asks.\n")
	if len(got) != 2 || got["a.go f: x → y"] != "It is the same." || got["b.go g: x → y #2"] != "Nobody asks." {
		t.Errorf("sentences %q", got)
	}
}

func loadSmall(t *testing.T) []*source {
	t.Helper()
	sources, err := load(t.Context(), root, smallTarget)
	if err != nil {
		t.Fatal(err)
	}
	return sources
}
