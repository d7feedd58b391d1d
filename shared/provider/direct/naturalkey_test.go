package direct_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/direct"
	"ringback/shared/provider/item"
)

// TestNaturalKeyIsWhatARepeatHasInCommon looks at the key itself: one that took
// in too much would not know a repeat, which comes for a day.
func TestNaturalKeyIsWhatARepeatHasInCommon(t *testing.T) {
	const at = "2025-03-01T09:15:02Z"
	when := time.Date(2025, 3, 1, 9, 15, 2, 0, time.UTC)
	for _, tt := range []struct {
		name, fields string
		key          []string // empty: all bytes
		stable       time.Time
	}{
		{"delivered", `"callback_event":"delivered","status":"unsent","status_time":"` + at + `"`, []string{"delivered", "m", "unsent", at}, when},
		{"sent", `"callback_event":"sent","status":"sent","status_time":"` + at + `"`, []string{"sent", "m", "sent", at}, when},
		{"read", `"callback_event":"read","status":"unread","status_time":"` + at + `"`, []string{"read", "m", "unread", at}, when},
		{"read without a time", `"callback_event":"read","status":"unread"`, []string{"read", "m", "unread", ""}, time.Time{}},
		{"read without a status", `"callback_event":"read","status_time":"` + at + `"`, nil, when},
		{"inbound", `"callback_event":"inbound_sent","status":"inbound_sent","status_time":"` + at + `"`, []string{"inbound_sent", "m", at}, when},
		{"inbound with nothing else", `"callback_event":"inbound_sent"`, []string{"inbound_sent", "m", ""}, time.Time{}},
		{"price", `"callback_event":"price","parts":2,"price":4.20,"price_time":"` + at + `"`, []string{"price", "m", at, "4.20", "2"}, when},
		{"price without a time", `"callback_event":"price","parts":2,"price":4.20,"status_time":"` + at + `"`, nil, when},
		{"click", `"callback_event":"click","short_url":"s","click_time":"` + at + `"`, []string{"click", "m", "s", at}, when},
		{"click without a time", `"callback_event":"click","short_url":"s","price_time":"` + at + `"`, nil, when},
		{"another with a price's time", `"callback_event":"rated","price_time":"` + at + `"`, nil, when},
		{"another with a click's time", `"callback_event":"rated","click_time":"` + at + `"`, nil, when},
		{"another with a status", `"callback_event":"rated","status":"sent"`, nil, time.Time{}},
		{"nothing", `"status":"sent"`, nil, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := `{"message_uuid":"m",` + tt.fields + `}`
			got := parse(t, body).Items[0]
			want := item.Key(tt.key...)
			if len(tt.key) == 0 {
				event, _, _ := strings.Cut(strings.TrimPrefix(tt.fields, `"callback_event":"`), `"`)
				want = item.Key(event, item.Hash([]byte(body)))
			}
			if got.NaturalKey != want || !got.StableTime.Equal(tt.stable) {
				t.Errorf("natural key of %s: %q at %v, want %q at %v", body, got.NaturalKey, got.StableTime, want, tt.stable)
			}
		})
	}
}

func TestTimeIsThatOfTheStatusThenOfThePriceThenOfTheClick(t *testing.T) {
	const status, price, click = `"status_time":"2025-03-01T01:00:00Z"`, `"price_time":"2025-03-01T02:00:00Z"`, `"click_time":"2025-03-01T03:00:00Z"`
	for _, tt := range []struct {
		fields []string
		hour   int
	}{
		{[]string{click, price, status}, 1},
		{[]string{click, status}, 1},
		{[]string{click, price}, 2},
		{[]string{click}, 3},
	} {
		body := `{"message_uuid":"m",` + strings.Join(tt.fields, ",") + `}`
		if got, want := parse(t, body).Items[0].Time, time.Date(2025, 3, 1, tt.hour, 0, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("time of %s = %v, want %v", body, got, want)
		}
	}
}

func TestTimeIsReadWithAndWithoutItsOffset(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2025-03-01T09:15:02Z":      time.Date(2025, 3, 1, 9, 15, 2, 0, time.UTC),
		"2025-03-01T09:15:02.5Z":    time.Date(2025, 3, 1, 9, 15, 2, 5e8, time.UTC),
		"2025-03-01T09:15:02+03:00": time.Date(2025, 3, 1, 6, 15, 2, 0, time.UTC),
		"2025-03-01T09:15:02+0300":  time.Date(2025, 3, 1, 6, 15, 2, 0, time.UTC),
		"2025-03-01T09:15:02":       time.Date(2025, 3, 1, 9, 15, 2, 0, time.UTC),
		"2025-03-01 09:15:02":       {},
		"soon":                      {},
	} {
		if got := parse(t, `{"message_uuid":"m","status_time":"`+text+`"}`).Items[0].Time; !got.Equal(want) {
			t.Errorf("time of %q = %v, want %v", text, got, want)
		}
	}
}

func TestBareObjectMayBeAsLargeAsAPayload(t *testing.T) {
	const start, end = `{"message_uuid":"m","text":"`, `"}`
	body := start + strings.Repeat("x", provider.MaxPayloadBytes-len(start)-len(end)) + end
	if it := parse(t, body).Items[0]; it.Unreadable || string(it.Payload) != body {
		t.Errorf("Parse of an object of %d bytes: unreadable %v, %d bytes kept", len(body), it.Unreadable, len(it.Payload))
	}
	body = strings.Replace(body, "x", "xx", 1)
	if _, err := (direct.Provider{}).Parse(&provider.Callback{Body: []byte(body)}); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Parse of an object of %d bytes: %v, want ErrTooLarge", len(body), err)
	}
}

func TestReplySaysWhatBecameOfTheCallback(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		body string
		asks bool
	}{
		{nil, 200, `{"ok":true}`, false},
		{provider.ErrForbidden, 403, `{"error":"not allowed"}`, false},
		{provider.ErrUnauthorized, 401, `{"error":"credentials are missing or wrong"}`, true},
	} {
		got := direct.Provider{}.Reply(tt.err)
		if got.StatusCode != tt.code || got.ContentType != "application/json" || string(got.Body) != tt.body || (got.Header["WWW-Authenticate"] != "") != tt.asks {
			t.Errorf("Reply(%v) = %d %s with %v, want %d %s", tt.err, got.StatusCode, got.Body, got.Header, tt.code, tt.body)
		}
	}
}
