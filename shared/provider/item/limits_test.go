package item_test

import (
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
	"ringback/shared/provider/jsonscan"
)

func TestUsableIsAnObjectWithinTheLimits(t *testing.T) {
	sized := func(n int) string { return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}` }
	nested := func(n int) string {
		return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
	}
	for _, tt := range []struct {
		name, b string
		want    bool
	}{
		{"an object", `{}`, true},
		{"an array", `[]`, false},
		{"a text", `"{}"`, false},
		{"a number", `1`, false},
		{"nothing", ``, false},
		{"the largest object", sized(provider.MaxPayloadBytes), true},
		{"one byte too large", sized(provider.MaxPayloadBytes + 1), false},
		{"the deepest object", nested(jsonscan.MaxDepth), true},
		{"one level too deep", nested(jsonscan.MaxDepth + 1), false},
		{"an array one level too deep", "[" + nested(jsonscan.MaxDepth) + "]", false},
	} {
		if got := item.Usable([]byte(tt.b)); got != tt.want {
			t.Errorf("Usable of %s, %.20q = %v, want %v", tt.name, tt.b, got, tt.want)
		}
	}
}

func TestRoutingKeysMayFillTheirLimitsExactly(t *testing.T) {
	longest := strings.Repeat("x", provider.MaxMatchValue)
	keys := map[string][]string{}
	item.AddKey(keys, "bot", longest+"x")
	item.AddKey(keys, "bot", longest)
	left := provider.MaxKeysBytes - len(longest)
	for i := 0; left > 0; i++ {
		n := min(left, provider.MaxMatchValue-1)
		item.AddKey(keys, []string{"group", "app"}[i%2], strings.Repeat(string(rune('a'+i)), n))
		left -= n
	}
	size := func() (n int) {
		for _, values := range keys {
			n += len(strings.Join(values, ""))
		}
		return n
	}
	if len(keys["bot"]) != 1 || keys["bot"][0] != longest || size() != provider.MaxKeysBytes {
		t.Errorf("%d values of bot and %d bytes in all, want the longest and %d", len(keys["bot"]), size(), provider.MaxKeysBytes)
	}
	item.AddKey(keys, "channel", "1")
	if _, ok := keys["channel"]; ok || size() != provider.MaxKeysBytes {
		t.Errorf("a value above the limit was taken: %d bytes, at most %d", size(), provider.MaxKeysBytes)
	}
}

func TestYearsThatAreWrittenHaveBounds(t *testing.T) {
	for _, tt := range []struct {
		at   time.Time
		none bool
	}{
		{time.Unix(0, 0), false},
		{time.Unix(0, 0).Add(-time.Nanosecond), true},
		{time.Date(1970, 6, 1, 0, 0, 0, 0, time.UTC), false},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), true},
	} {
		if got := item.Time(tt.at); got.IsZero() != tt.none || !tt.none && !got.Equal(tt.at) {
			t.Errorf("Time(%v) = %v, want none: %v", tt.at, got, tt.none)
		}
	}
}
