package isolation

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ringback/shared/test/proofs"
)

var update = flag.Bool("update", false, "play all cells, and write the tables into shared/docs/isolation.md")

// Healthy tenants' p99 stays within as many times that beside a neighbour that
// responds at once; and within a crowd's turning while its endpoints turn from fast to
// slow, which costs a batch a second. An honest slow endpoint shares the slow queue: on
// one machine it waits for none, on AWS for a batch that ends with its slowest attempt.
const (
	within      = 1.2
	slowestLast = 15*time.Second + 3*time.Second
)

// How long the cells of the table last: those of endpoints that turn slow after a
// minute as well.
const steady, turns = 30 * time.Second, 90 * time.Second

// cells are what `go test` plays, for seconds.
var cells = []struct {
	house
	neighbour
}{
	{one, neighbours[0]}, {one, neighbours[1]}, {one, neighbours[4]},
	{ten, neighbours[0]}, {ten, neighbours[1]}, {ten, neighbours[4]},
}

// TestNeighboursAreNotFelt plays some cells, or at full length the whole table.
func TestNeighboursAreNotFelt(t *testing.T) {
	if proofs.Full() || *update {
		table(t)
		return
	}
	const long = 3 * time.Second
	beside := map[string]result{}
	houses := []house{one, ten}
	if testing.Short() {
		houses = houses[:1]
	}
	for _, h := range houses {
		beside[h.name] = measure(t, h, single, atOnce, long)
	}
	for n, c := range cells {
		if testing.Short() && n > 0 {
			break
		}
		t.Run(c.house.name+"/"+c.neighbour.name, func(t *testing.T) {
			check(t, c.house, single, c.neighbour, measure(t, c.house, single, c.neighbour, long), beside[c.house.name])
		})
	}
}

// check fails if healthy tenants feel a neighbour.
func check(t *testing.T, h house, c crowd, n neighbour, got, beside result) {
	t.Helper()
	most := time.Duration(within * float64(beside.p99))
	if n.turns {
		most = max(most, c.turning)
	}
	t.Logf("p50 %v, p99 %v; beside one that responds at once %v, %v", got.p50, got.p99, beside.p50, beside.p99)
	if got.p99 > most {
		t.Errorf("a healthy tenant's p99 is %v beside one that %s, want at most %v; beside one that responds at once it is %v", got.p99, n.name, most, beside.p99)
	}
	honest := 2 * beside.honest99
	if h.first > 0 {
		honest = max(honest, slowestLast)
	}
	if got.honest99 > honest {
		t.Errorf("an honest endpoint of 3 s has a p99 of %v, want at most %v", got.honest99, honest)
	}
}

// table plays all cells, and writes their table.
func table(t *testing.T) {
	var parts [4]strings.Builder
	t.Run("all", func(t *testing.T) { // returns when what is parallel has ended
		for i, c := range []crowd{single, many} {
			for j, h := range []house{one, ten} {
				t.Run(c.name+"/"+h.name, func(t *testing.T) {
					t.Parallel()
					part(t, &parts[2*i+j], h, c)
				})
			}
		}
	})
	var b strings.Builder
	for i := range parts {
		b.WriteString(parts[i].String())
	}
	write(t, "<!-- neighbours -->\n", b.String())
}

// part plays the cells of a crowd in a house, and writes their part of the table.
func part(t *testing.T, b *strings.Builder, h house, c crowd) {
	fmt.Fprintf(b, "\n%s; %s:\n\n| neighbours | healthy p50 | p99 | most | 3 s endpoint p50 | p99 |\n|---|---|---|---|---|---|\n", c.name, h.name)
	beside := measure(t, h, c, atOnce, steady)
	row(b, atOnce, beside)
	for _, n := range neighbours {
		long := steady
		if n.turns {
			long = turns
		}
		got := measure(t, h, c, n, long)
		row(b, n, got)
		t.Run(n.name, func(t *testing.T) { check(t, h, c, n, got, beside) })
	}
}

// write writes a table between two marks of its page, or into the log.
func write(t *testing.T, mark, table string) {
	t.Helper()
	if !*update {
		t.Log(table)
		return
	}
	const file = "../../docs/isolation.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), mark)
	if len(parts) != 3 {
		t.Fatalf("%s has the line %q %d times, want it before and after the table", file, mark, len(parts)-1)
	}
	parts[1] = table
	if err := os.WriteFile(file, []byte(strings.Join(parts, mark)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func row(b *strings.Builder, n neighbour, r result) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", n.name, ms(r.p50), ms(r.p99), ms(r.max), ms(r.honest50), ms(r.honest99))
}
