package ident

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/shared/storage"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func TestIDsSortByTheTimeOfTheirMaking(t *testing.T) {
	early, late := New("reg", noon), New("reg", noon.Add(time.Millisecond))
	if early >= late || len(early) != 30 || !strings.HasPrefix(early, "reg_") || early == New("reg", noon) {
		t.Errorf("ids %s and %s, want 30 characters each, in order, and another each time", early, late)
	}
	if before, after := New("reg", time.UnixMilli(1<<40-1)), New("reg", time.UnixMilli(1<<40)); before >= after {
		t.Errorf("ids %s and %s of 2004, want them in order", before, after)
	}
	if one, two := From("att", noon, "a"), From("att", noon.Add(time.Millisecond), "a"); one >= two || one != From("att", noon, "a") || one == From("att", noon, "b") {
		t.Errorf("ids %s and %s of one text, want them in order, the same each time, and others of another text", one, two)
	}
	for name, random := range map[string]func() string{"source ids": NewSource, "callback keys": NewCallbackSecret} {
		if one, two := random(), random(); one == two {
			t.Errorf("two %s are both %s", name, one)
		}
	}
	if key := NewCallbackSecret(); len(key) != 32 {
		t.Errorf("callback key %s has %d characters, want 32", key, len(key))
	}
}

func TestIDOfATextIsTheSameEachTime(t *testing.T) {
	if got := NewFrom("reg", noon, "a"); got != From("reg", noon, "a") {
		t.Errorf("NewIDOf(reg) = %s, want %s", got, From("reg", noon, "a"))
	}
	source := NewFrom(SourcePrefix, noon, "a")
	if _, err := SourceNumber(source); err != nil || source != NewFrom(SourcePrefix, noon, "a") {
		t.Errorf("a source of a text is %s, %v; want an id, the same each time", source, err)
	}
	if source == NewFrom(SourcePrefix, noon, "b") || source == NewFrom(SourcePrefix, noon.Add(1), "a") {
		t.Errorf("sources of two texts, or of two instants, are both %s", source)
	}
}

func TestWhatIsNoIDIsRefused(t *testing.T) {
	id, err := Event(NewSource(), "", noon, "k")
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"another prefix": "evx" + id[3:], "shorter": id[:len(id)-1], "longer": id + "0", "a line break": id[:len(id)-1] + "\n",
		"other characters": id[:len(id)-1] + "z", "upper case": "evt_" + strings.ToUpper(id[4:len(id)-1]) + "V", "empty": "",
	} {
		if _, err := DecodeEvent(bad); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("event id with %s: %v, want ErrInvalid", name, err)
		}
		if _, err := SourceOf(bad); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("source of an event id with %s: %v, want ErrInvalid", name, err)
		}
	}
	for name, bad := range map[string]string{
		"another prefix": "srx-00000000", "shorter": "src-0000000", "longer": "src-000000000", "a line break": "src-0000000\n", "other characters": "src-0000000z", "empty": "",
	} {
		if _, err := SourceNumber(bad); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("source id with %s: %v, want ErrInvalid", name, err)
		}
		if _, err := Event(bad, "", noon, "k"); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("event of a source id with %s: %v, want ErrInvalid", name, err)
		}
	}
	delivery := Delivery(New("reg", noon), id)
	for name, bad := range map[string]string{"another prefix": "dlx" + delivery[3:], "longer": delivery + "0", "another event": delivery[:len(delivery)-1] + "z"} {
		if _, _, err := SplitDelivery(bad); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("delivery id with %s: %v, want ErrInvalid", name, err)
		}
	}
}
