package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/storage"
)

// TestJobMakesDueNoMoreThanItsRate lets a job make deliveries due in pages, at
// any pace and with any pauses, and counts what falls into each second.
func TestJobMakesDueNoMoreThanItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j Job
		now := noon
		perSecond := map[int64]int{}
		for range rapid.IntRange(1, 600).Draw(t, "pages") {
			for range rapid.IntRange(0, storage.MaxPageRows).Draw(t, "rows") {
				at := j.place(now)
				if at.Before(now) {
					t.Fatalf("place %v lies before now, %v", at, now)
				}
				perSecond[at.Unix()]++
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "page took")))
			if next := j.ahead(now); !next.IsZero() {
				if !next.After(now) || next.After(j.Next) {
					t.Fatalf("goes on at %v, now is %v and the next place %v", next, now, j.Next)
				}
				now = next
			}
			if lead := j.Next.Sub(now); lead > jobAhead {
				t.Fatalf("%v of deliveries lie before the job, want at most %v", lead, jobAhead)
			}
		}
		for second, n := range perSecond {
			if most := int(time.Second/jobSpread) + 1; n > most {
				t.Fatalf("%d deliveries in second %d, want at most %d", n, second, most)
			}
		}
	})
}
