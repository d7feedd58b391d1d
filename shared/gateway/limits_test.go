package gateway_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
)

func TestRowIsRefusedByItsLimits(t *testing.T) {
	key := gateway.Key{Table: gateway.Deliveries, PK: "p", SK: "s"}
	long := strings.Repeat("k", gateway.MaxKeyBytes+1)
	for _, tt := range []struct {
		name string
		row  gateway.Row
		want error
	}{
		{"smallest row", gateway.Row{Key: key, Rev: "r"}, nil},
		{"largest row", gateway.Row{Key: key, Rev: "r", Body: make([]byte, gateway.MaxRowBytes-2)}, nil},
		{"a byte more in Body", gateway.Row{Key: key, Rev: "r", Body: make([]byte, gateway.MaxRowBytes-1)}, gateway.ErrTooLarge},
		{"a byte more in Data", gateway.Row{Key: key, Rev: "r", Data: make([]byte, gateway.MaxRowBytes-1)}, gateway.ErrTooLarge},
		{"no revision", gateway.Row{Key: key}, gateway.ErrInvalid},
		{"any revision", gateway.Row{Key: key, Rev: gateway.AnyRev}, gateway.ErrInvalid},
		{"no table", gateway.Row{Key: gateway.Key{PK: "p", SK: "s"}, Rev: "r"}, gateway.ErrInvalid},
		{"no PK", gateway.Row{Key: gateway.Key{Table: gateway.Deliveries, SK: "s"}, Rev: "r"}, gateway.ErrInvalid},
		{"no SK", gateway.Row{Key: gateway.Key{Table: gateway.Deliveries, PK: "p"}, Rev: "r"}, gateway.ErrInvalid},
		{"long SK", gateway.Row{Key: gateway.Key{Table: gateway.Deliveries, PK: "p", SK: long}, Rev: "r"}, gateway.ErrInvalid},
		{"broken UTF-8", gateway.Row{Key: gateway.Key{Table: gateway.Deliveries, PK: "\xff", SK: "s"}, Rev: "r"}, gateway.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.row.Check(); !errors.Is(err, tt.want) {
				t.Errorf("Check() = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestMessageIsRefusedByItsLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    gateway.Message
		want error
	}{
		{"longest delay", gateway.Message{Body: "a", Delay: gateway.MaxDelay}, nil},
		{"longer delay", gateway.Message{Body: "a", Delay: gateway.MaxDelay + 1}, gateway.ErrInvalid},
		{"negative delay", gateway.Message{Body: "a", Delay: -1}, gateway.ErrInvalid},
		{"no body", gateway.Message{}, gateway.ErrInvalid},
		{"zero byte", gateway.Message{Body: "a\x00"}, gateway.ErrInvalid},
		{"U+FFFE", gateway.Message{Body: "\uFFFE"}, gateway.ErrInvalid},
		{"U+FFFD", gateway.Message{Body: "\uFFFD"}, nil},
		{"U+D7FF, U+E000, U+10000, U+10FFFF", gateway.Message{Body: "\uD7FF\uE000\U00010000\U0010FFFF"}, nil},
		{"surrogate", gateway.Message{Body: "\xed\xa0\x80"}, gateway.ErrInvalid},
		{"cut rune", gateway.Message{Body: "\xe2\x82"}, gateway.ErrInvalid},
		{"longest group", gateway.Message{Body: "a", Group: strings.Repeat("g", gateway.MaxGroupChars)}, nil},
		{"longer group", gateway.Message{Body: "a", Group: strings.Repeat("g", gateway.MaxGroupChars+1)}, gateway.ErrInvalid},
		{"largest body", gateway.Message{Body: strings.Repeat("b", gateway.MaxMessageBytes)}, nil},
		{"larger body", gateway.Message{Body: strings.Repeat("b", gateway.MaxMessageBytes+1)}, gateway.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := gateway.CheckSend(gateway.EventsQueue, []gateway.Message{tt.m})[0]; !errors.Is(err, tt.want) {
				t.Errorf("CheckSend() = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDelayIsRoundedUpToSeconds(t *testing.T) {
	for delay, want := range map[time.Duration]int{0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, gateway.MaxDelay: 900} {
		if got := (gateway.Message{Delay: delay}).DelaySeconds(); got != want {
			t.Errorf("DelaySeconds() of %v = %d, want %d", delay, got, want)
		}
	}
}

func TestDueShardsAreAllUsed(t *testing.T) {
	used := map[int]int{}
	for i := range 1000 {
		used[gateway.Key{PK: "D#reg-1", SK: strings.Repeat("e", i)}.DueShard()]++
	}
	if len(used) != gateway.DueShards {
		t.Errorf("1000 keys lie in %d shards, want %d", len(used), gateway.DueShards)
	}
}
