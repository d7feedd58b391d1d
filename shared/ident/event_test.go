package ident

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/storage"
)

func TestEventIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := NewSource()
		at := func(name string) time.Time {
			return time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, name)).UTC()
		}
		a, b := at("a"), at("b")
		x, err := Event(source, "", a, "x")
		if err != nil {
			t.Fatal(err)
		}
		y, err := Event(source, "", b, "y")
		if err != nil {
			t.Fatal(err)
		}
		if a.Before(b) && x >= y {
			t.Fatalf("%s of %v does not sort before %s of %v", x, a, y, b)
		}
		if got, err := SourceOf(x); err != nil || got != source {
			t.Fatalf("SourceOf(%s) = %s, %v; want %s", x, got, err, source)
		}
		if floor := EventFloor(source, a); floor > x || !a.Equal(b) && a.Before(b) && floor > y {
			t.Fatalf("floor %s of %v is above %s", floor, a, x)
		}
	})
}

func TestFloorIsAboveWhatWasBefore(t *testing.T) {
	source := NewSource()
	for range 1000 {
		before, err := Event(source, "", noon.Add(-8*time.Millisecond), storage.NewRev())
		if err != nil {
			t.Fatal(err)
		}
		if before >= EventFloor(source, noon) {
			t.Fatalf("%s is from before %s", before, EventFloor(source, noon))
		}
	}
}

func TestDeliveryIDNamesBoth(t *testing.T) {
	event, err := Event(NewSource(), "", noon, "k")
	if err != nil {
		t.Fatal(err)
	}
	registration := New("reg", noon)
	r, e, err := SplitDelivery(Delivery(registration, event))
	if err != nil || r != registration || e != event {
		t.Errorf("split: %s, %s, %v; want %s, %s", r, e, err, registration, event)
	}
	for _, id := range []string{"", "dlv_", "dlv_" + strings.Repeat("z", 70), strings.Repeat("0", 74)} {
		if _, _, err := SplitDelivery(id); err == nil {
			t.Errorf("delivery id %q was taken", id)
		}
	}
}
