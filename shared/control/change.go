package control

import (
	"fmt"
	"slices"
	"time"

	"ringback/shared/storage"
)

// hiddenText stands for a write-only value; sent back it means unchanged.
const hiddenText = "***"

// DefaultOverlap is how long an old secret stays valid after a rotation, unless the caller says otherwise.
const DefaultOverlap = 24 * time.Hour

// DirectOverlap is the default for Direct's callback keys and Basic: its
// callback URLs travel inside messages, whose callbacks come for 25 h and more.
const DirectOverlap = 30 * 24 * time.Hour

// MaxOverlap is the longest overlap of a rotation.
const MaxOverlap = 90 * 24 * time.Hour

func checkOverlap(d time.Duration) error {
	if d < 0 || d > MaxOverlap {
		return fmt.Errorf("overlap: %w: want 0s to 2160h", storage.ErrInvalid)
	}
	return nil
}

func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// given returns check's error for v; nil if v is nil.
func given[T any](v *T, check func(T) error) error {
	if v == nil {
		return nil
	}
	return check(*v)
}

// unique returns texts without duplicates, in order.
func unique(texts []string) []string {
	there := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(texts), func(t string) bool {
		was := there[t]
		there[t] = true
		return was
	})
}

// tombstone is how long a removed registration stays stored, so that its deliveries can be listed and its app notified.
const tombstone = 30 * 24 * time.Hour
