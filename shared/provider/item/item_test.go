package item_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
)

func TestKeysOfDifferentPartsDiffer(t *testing.T) {
	parts := rapid.SliceOf(rapid.StringOf(rapid.RuneFrom([]rune("1:a"))))
	rapid.Check(t, func(t *rapid.T) {
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		same := len(a) == len(b) && strings.Join(a, ",") == strings.Join(b, ",")
		if got := item.Key(a...) == item.Key(b...); got != same {
			t.Fatalf("Key(%q) = %q, Key(%q) = %q", a, item.Key(a...), b, item.Key(b...))
		}
	})
}

// TestKeyIsEachPartBehindItsLength holds the text itself: a release that wrote
// another would not know the repeats of what the one before took in.
func TestKeyIsEachPartBehindItsLength(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, "0:"},
		{[]string{"a", "", "12:b"}, "1:a0:4:12:b"},
		{[]string{strings.Repeat("x", 12), "é"}, "12:xxxxxxxxxxxx2:é"},
	} {
		if got := item.Key(tt.parts...); got != tt.want {
			t.Errorf("Key(%q) = %q, want %q", tt.parts, got, tt.want)
		}
	}
	long := slices.Repeat([]string{strings.Repeat("x", 125)}, 8)
	if got := testing.AllocsPerRun(50, func() { item.Key(long...) }); got > 2 {
		t.Errorf("Key of parts below 1,000 bytes allocates %v times, want at most 2", got)
	}
}

func TestTypeIsTheNameUnlessNobodyCanNameIt(t *testing.T) {
	long := strings.Repeat("x", provider.MaxEventTypeBytes+1)
	for _, tt := range []struct{ name, want string }{
		{"sent", "sent"},
		{"", "direct.unnamed"},
		{long, "direct.unnamed"},
		{long[1:], long[1:]},
	} {
		if got := item.Type("direct", tt.name); got != tt.want {
			t.Errorf("Type of %.20q = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestContentTypeIsKeptIfRowsHoldIt(t *testing.T) {
	long := "text/plain; a=" + strings.Repeat("x", provider.MaxContentTypeBytes-len("text/plain; a="))
	for _, tt := range []struct{ sent, want string }{
		{"text/plain; charset=\"é\"", "text/plain; charset=\"é\""},
		{"nonsense/", "nonsense/"},
		{"", "otherwise"},
		{"text/plain\xff", "otherwise"},
		{"text/plain\uffff", "otherwise"},
		{long, long},
		{long + "x", "otherwise"},
	} {
		cb := provider.Callback{Header: http.Header{"Content-Type": {tt.sent}}}
		if got := item.ContentType(&cb, "otherwise"); got != tt.want {
			t.Errorf("ContentType of %.40q = %.40q, want %.40q", tt.sent, got, tt.want)
		}
	}
	if got := item.ContentType(&provider.Callback{}, "otherwise"); got != "otherwise" {
		t.Errorf("ContentType of none = %q", got)
	}
}

func TestTextsOfItemsAreUTF8(t *testing.T) {
	keys := map[string][]string{}
	item.AddKey(keys, "bot", "caf\xe9")
	item.AddKey(keys, "bot", "caf\xe8")
	if got := strings.Join(keys["bot"], ","); got != "caf\uFFFD" {
		t.Errorf("values are %q, want one with U+FFFD", got)
	}
	if got := item.Type("direct", "caf\xe9"); got != "caf\uFFFD" {
		t.Errorf("Type = %q, want U+FFFD in it", got)
	}
}

func TestRoutingKeysAreFewAndDistinct(t *testing.T) {
	keys := map[string][]string{}
	for _, v := range []string{"", "a", "a", "b", strings.Repeat("x", provider.MaxMatchValue+1)} {
		item.AddKey(keys, "bot", v)
	}
	if got := strings.Join(keys["bot"], ","); got != "a,b" {
		t.Errorf("values are %q, want a,b", got)
	}
	for i := range 100 {
		item.AddKey(keys, "bot", strings.Repeat(string(rune('A'+i)), 500))
	}
	size := 0
	for _, v := range keys["bot"] {
		size += len(v)
	}
	if size < 7<<10 || size > 8<<10 {
		t.Errorf("values take %d bytes, want nearly 8 KiB", size)
	}
	item.AddKey(keys, "empty", "")
	if _, ok := keys["empty"]; ok {
		t.Error("an empty value made a routing key")
	}
}

func TestWhatIsSetAsideHasNoNaturalKey(t *testing.T) {
	long := strings.Repeat("x", provider.MaxUnreadableBytes)
	if a := item.SetAside("direct", []byte(long+"a")); a.NaturalKey != "" || string(a.Payload) != long || !a.Unreadable {
		t.Errorf("SetAside of %d bytes: natural key %q, %d bytes kept, unreadable %v; want none, %d, true",
			len(long)+1, a.NaturalKey, len(a.Payload), a.Unreadable, len(long))
	}
}

func TestTimesOutsideOfWrittenYearsAreNone(t *testing.T) {
	for _, tt := range []struct {
		text string
		none bool
	}{
		{"2025-03-01T09:15:02+03:00", false},
		{"9999-12-31T23:59:59Z", false},
		{"9999-12-31T23:59:59-01:00", true},
		{"1969-12-31T23:59:59Z", true},
		{"0001-01-01T00:00:00Z", true},
	} {
		at, err := time.Parse(time.RFC3339, tt.text)
		if err != nil {
			t.Fatal(err)
		}
		got := item.Time(at)
		if got.IsZero() != tt.none || !tt.none && !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("Time(%s) = %v", tt.text, got)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("Time(%s): %v", tt.text, err)
		}
	}
}

func TestBrokenTextIsReplacedInJSON(t *testing.T) {
	for _, tt := range []struct {
		e    provider.Event
		want string
	}{
		{provider.Event{Payload: []byte("\uFEFF {\"a\": 4.20}\n")}, `{"a": 4.20}`},
		{provider.Event{Payload: []byte("{\"a\":\"\xe9\"}")}, "{\"a\":\"\uFFFD\"}"},
		{provider.Event{Payload: []byte(`{"a":`), Unreadable: true}, `"{\"a\":"`},
	} {
		got, err := item.JSON(&tt.e)
		if err != nil || string(got) != tt.want {
			t.Errorf("JSON of %q = %s, %v, want %s", tt.e.Payload, got, err, tt.want)
		}
	}
}

func TestListBoundsWhatACallbackHolds(t *testing.T) {
	for _, tt := range []struct {
		good, bad int
		items     int
		last      string // payload; empty: a good one's
		err       error
	}{
		{0, 0, 0, "", nil},
		{3, provider.MaxUnreadable, 3 + provider.MaxUnreadable, "", nil},
		{3, provider.MaxUnreadable + 1, 4 + provider.MaxUnreadable, "1 more items could not be read", nil},
		{0, 1_000_000, 1 + provider.MaxUnreadable, "999980 more items could not be read", nil},
		{provider.MaxItems, 0, provider.MaxItems, "", nil},
		{provider.MaxItems + 1, 0, 0, "", provider.ErrTooLarge},
	} {
		var l item.List
		for range tt.bad {
			l.SetAside("direct", nil)
		}
		for range tt.good {
			l.Add(provider.Item{Type: "good"})
		}
		items, err := l.All("direct")
		if len(items) != tt.items || !errors.Is(err, tt.err) {
			t.Errorf("%d good and %d bad: %d items, %v; want %d, %v", tt.good, tt.bad, len(items), err, tt.items, tt.err)
			continue
		}
		if tt.last == "" {
			continue
		}
		if last := items[len(items)-1]; string(last.Payload) != tt.last || !last.Unreadable || last.Type != "direct.unreadable" {
			t.Errorf("%d good and %d bad: the last is %+v, want one that is set aside and says %q", tt.good, tt.bad, last, tt.last)
		}
	}
}
