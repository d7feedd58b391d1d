package gateway

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/storage"
)

func TestEventIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := NewSourceID()
		at := func(name string) time.Time {
			return time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, name)).UTC()
		}
		a, b := at("a"), at("b")
		x, err := EventID(source, "", a, "x")
		if err != nil {
			t.Fatal(err)
		}
		y, err := EventID(source, "", b, "y")
		if err != nil {
			t.Fatal(err)
		}
		if a.Before(b) && x >= y {
			t.Fatalf("%s of %v does not sort before %s of %v", x, a, y, b)
		}
		if of, err := SourceOf(x); err != nil || of != source {
			t.Fatalf("SourceOf(%s) = %s, %v; want %s", x, of, err, source)
		}
		if floor := EventIDFloor(source, a); floor > x || !a.Equal(b) && a.Before(b) && floor > y {
			t.Fatalf("floor %s of %v is above %s", floor, a, x)
		}
	})
}

func TestFloorIsAboveWhatWasBefore(t *testing.T) {
	source := NewSourceID()
	for range 1000 {
		before, err := EventID(source, "", noon.Add(-8*time.Millisecond), storage.NewRev())
		if err != nil {
			t.Fatal(err)
		}
		if before >= EventIDFloor(source, noon) {
			t.Fatalf("%s is from before %s", before, EventIDFloor(source, noon))
		}
	}
}

func TestEqualEventsHaveOneID(t *testing.T) {
	source := NewSourceID()
	id := func(label, key string, at time.Time) string {
		id, err := EventID(source, label, at, key)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if first, again := id("a", "bc", noon), id("a", "bc", noon); first != again {
		t.Error("the same event has two ids")
	}
	if id("a", "bc", noon) == id("ab", "c", noon) {
		t.Error("label and key run into each other")
	}
	if claimOf(id("", "k", noon)) != claimOf(id("", "k", noon.Add(time.Hour))) || claimOf(id("", "k", noon)) == claimOf(id("", "l", noon)) {
		t.Error("the row that claims a natural key is not one for each key")
	}
}

// claimOf returns the row that claims the natural key of an event.
func claimOf(id string) storage.Key {
	key, err := NaturalKeyKey(id)
	if err != nil {
		return storage.Key{}
	}
	return key
}

func TestDeliveryIDNamesBoth(t *testing.T) {
	event, err := EventID(NewSourceID(), "", noon, "k")
	if err != nil {
		t.Fatal(err)
	}
	registration := NewID("reg", noon)
	r, e, err := splitDeliveryID(DeliveryID(registration, event))
	if err != nil || r != registration || e != event {
		t.Errorf("split: %s, %s, %v; want %s, %s", r, e, err, registration, event)
	}
	for _, id := range []string{"", "dlv_", "dlv_" + strings.Repeat("z", 70), strings.Repeat("0", 74)} {
		if _, _, err := splitDeliveryID(id); err == nil {
			t.Errorf("delivery id %q was taken", id)
		}
	}
}
