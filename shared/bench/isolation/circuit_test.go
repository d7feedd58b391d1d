package isolation

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// A course is how one endpoint fares, from the time on that is counted.
type course struct {
	name      string
	perSecond int           // events
	long      time.Duration // of events
	responds  func(since time.Duration, r *rand.Rand) int
}

var courses = []course{
	{"dead", 20, time.Minute, func(time.Duration, *rand.Rand) int { return 500 }},
	{"fails half of all", 20, time.Minute, func(_ time.Duration, r *rand.Rand) int { return 200 + 300*r.IntN(2) }},
	{"500s for half a second", 100, 10 * time.Second, func(since time.Duration, _ *rand.Rand) int {
		if since < time.Second/2 {
			return 500
		}
		return 200
	}},
}

// A fare is what an endpoint felt.
type fare struct {
	posts   int           // in the first half minute
	probes  int           // in the second
	shut    time.Duration // the circuit was open while events came
	arrived time.Duration // after the last event all were accepted; zero: not within a quarter of a minute
}

// fares plays a course with so many processes.
func fares(t *testing.T, processes int, c course) (f fare) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T: t, rng: rand.New(rand.NewPCG(1, 2)),
			sent: map[string]time.Time{}, came: map[string]bool{}, called: map[string]int{}, took: map[string][]time.Duration{},
		}
		accepted := map[string]bool{}
		w.responds = func(body string) int {
			since := time.Since(w.begun)
			switch {
			case w.begun.IsZero():
				return http.StatusOK
			case since < 30*time.Second:
				f.posts++
			case since < time.Minute:
				f.probes++
			}
			code := c.responds(since, w.rng)
			accepted[textOf(body)] = accepted[textOf(body)] || code == http.StatusOK
			return code
		}
		first := time.Duration(0)
		if processes > 1 {
			first = time.Second
		}
		defer w.start(house{"", processes, 1, first})()
		w.sources()
		id := w.register(w.tenant(), w.source[0], "healthy.example", nil)
		for range 20 { // it is known to be fast
			w.chat(0, group(0), "before")
			time.Sleep(4 * time.Second)
		}
		w.begun = time.Now()
		every := time.Second / time.Duration(c.perSecond)
		w.events(c.long, every, func(i int) {
			w.chat(0, group(0), fmt.Sprint(i))
			h, _, err := storage.Load[circuit.Health](t.Context(), w.front.Store, gateway.HealthKey(id))
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Error(err)
			}
			if h.Open {
				f.shut += every
			}
		})
		for s := range 15 {
			if len(accepted) == int(c.long/every) && !slices.Contains(slices.Collect(maps.Values(accepted)), false) {
				f.arrived = time.Duration(max(s, 1)) * time.Second
				break
			}
			time.Sleep(time.Second)
		}
	})
	return f
}

// textOf returns the text of a chat.
func textOf(body string) string {
	_, text, _ := strings.Cut(body, `"message":"`)
	text, _, _ = strings.Cut(text, `"`)
	return text
}

// TestCircuitIsOneOfAllProcesses plays an endpoint that is dead, one that fails half
// of all, and one that has a bad half second.
func TestCircuitIsOneOfAllProcesses(t *testing.T) {
	if proofs.Full() || *update {
		write(t, "<!-- circuits -->\n", circuits(t, []int{1, 10, 100}))
		return
	}
	if testing.Short() {
		t.Skip("plays minutes of three endpoints, which -short leaves out")
	}
	circuits(t, []int{3})
}

// circuits returns the table of all courses by number of processes.
func circuits(t *testing.T, processes []int) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprint(&b, "| processes | an endpoint that | POSTs in the first 30 s | in the next 30 s | circuit open | all accepted, after the last event |\n|---:|---|---:|---:|---:|---:|\n")
	for _, n := range processes {
		for _, c := range courses {
			f := fares(t, n, c)
			arrived := "later, or never"
			if f.arrived > 0 {
				arrived = f.arrived.String()
			}
			fmt.Fprintf(&b, "| %d | %s, at %d/s | %d | %d | %v | %s |\n", n, c.name, c.perSecond, f.posts, f.probes, f.shut, arrived)
			switch c.name {
			case "dead":
				if f.posts > 200 || f.probes > 3 {
					t.Errorf("%d processes: a dead endpoint gets %d POSTs and then %d probes in 30 s, want some 120 and 3", n, f.posts, f.probes)
				}
			default:
				if f.shut > 0 {
					t.Errorf("%d processes: the circuit of one that %s is open for %v, want never", n, c.name, f.shut)
				}
			}
			if c.name == "500s for half a second" && f.arrived == 0 {
				t.Errorf("%d processes: half a bad second costs more than 15 s", n)
			}
		}
	}
	t.Log("\n" + b.String())
	return b.String()
}
