package storage_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/shared/storage"
)

func TestRowIsRefusedByItsLimits(t *testing.T) {
	key := storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}
	long := strings.Repeat("k", storage.MaxKeyBytes+1)
	for _, tt := range []struct {
		name string
		row  storage.Row
		want error
	}{
		{"smallest row", storage.Row{Key: key, Rev: "r"}, nil},
		{"largest row", storage.Row{Key: key, Rev: "r", Body: make([]byte, storage.MaxRowBytes-2)}, nil},
		{"a byte more in Body", storage.Row{Key: key, Rev: "r", Body: make([]byte, storage.MaxRowBytes-1)}, storage.ErrTooLarge},
		{"a byte more in Data", storage.Row{Key: key, Rev: "r", Data: make([]byte, storage.MaxRowBytes-1)}, storage.ErrTooLarge},
		{"no revision", storage.Row{Key: key}, storage.ErrInvalid},
		{"any revision", storage.Row{Key: key, Rev: storage.AnyRev}, storage.ErrInvalid},
		{"no table", storage.Row{Key: storage.Key{PK: "p", SK: "s"}, Rev: "r"}, storage.ErrInvalid},
		{"no PK", storage.Row{Key: storage.Key{Table: storage.Deliveries, SK: "s"}, Rev: "r"}, storage.ErrInvalid},
		{"no SK", storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p"}, Rev: "r"}, storage.ErrInvalid},
		{"long SK", storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: long}, Rev: "r"}, storage.ErrInvalid},
		{"broken UTF-8", storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "\xff", SK: "s"}, Rev: "r"}, storage.ErrInvalid},
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
		m    storage.Message
		want error
	}{
		{"longest delay", storage.Message{Body: "a", Delay: storage.MaxDelay}, nil},
		{"longer delay", storage.Message{Body: "a", Delay: storage.MaxDelay + 1}, storage.ErrInvalid},
		{"negative delay", storage.Message{Body: "a", Delay: -1}, storage.ErrInvalid},
		{"no body", storage.Message{}, storage.ErrInvalid},
		{"zero byte", storage.Message{Body: "a\x00"}, storage.ErrInvalid},
		{"U+FFFE", storage.Message{Body: "\uFFFE"}, storage.ErrInvalid},
		{"U+FFFD", storage.Message{Body: "\uFFFD"}, nil},
		{"U+D7FF, U+E000, U+10000, U+10FFFF", storage.Message{Body: "\uD7FF\uE000\U00010000\U0010FFFF"}, nil},
		{"surrogate", storage.Message{Body: "\xed\xa0\x80"}, storage.ErrInvalid},
		{"cut rune", storage.Message{Body: "\xe2\x82"}, storage.ErrInvalid},
		{"longest group", storage.Message{Body: "a", Group: strings.Repeat("g", storage.MaxGroupChars)}, nil},
		{"longer group", storage.Message{Body: "a", Group: strings.Repeat("g", storage.MaxGroupChars+1)}, storage.ErrInvalid},
		{"largest body", storage.Message{Body: strings.Repeat("b", storage.MaxMessageBytes)}, nil},
		{"larger body", storage.Message{Body: strings.Repeat("b", storage.MaxMessageBytes+1)}, storage.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := storage.CheckSend(storage.EventsQueue, []storage.Message{tt.m})[0]; !errors.Is(err, tt.want) {
				t.Errorf("CheckSend() = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDelayIsRoundedUpToSeconds(t *testing.T) {
	for delay, want := range map[time.Duration]int{0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, storage.MaxDelay: 900} {
		if got := (storage.Message{Delay: delay}).DelaySeconds(); got != want {
			t.Errorf("DelaySeconds() of %v = %d, want %d", delay, got, want)
		}
	}
}

func TestDueShardsAreAllUsed(t *testing.T) {
	used := map[int]int{}
	for i := range 1000 {
		used[storage.Key{PK: "D#reg-1", SK: strings.Repeat("e", i)}.DueShard()]++
	}
	if len(used) != storage.DueShards {
		t.Errorf("1000 keys lie in %d shards, want %d", len(used), storage.DueShards)
	}
}
