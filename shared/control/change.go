package control

import (
	"fmt"
	"slices"
	"time"

	"ringback/shared/storage"
)

// hiddenText is shown in place of what is write-only; sent back it means unchanged.
const hiddenText = "***"

// DefaultOverlap is how long an old secret holds beside the new one unless the caller says otherwise.
const DefaultOverlap = 24 * time.Hour

// DirectOverlap is the default for Direct's callback keys and Basic: its
// callback URLs travel inside messages, whose callbacks come for 25 h and more.
const DirectOverlap = 30 * 24 * time.Hour

// MaxOverlap is how long an old secret may hold beside the new one.
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

// given returns what check finds of v, nil if that is nil.
func given[T any](v *T, check func(T) error) error {
	if v == nil {
		return nil
	}
	return check(*v)
}

// unique returns texts without repeats, in their order.
func unique(texts []string) []string {
	there := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(texts), func(t string) bool {
		was := there[t]
		there[t] = true
		return was
	})
}

// tombstone is how long a removed registration stays, so that its deliveries can be listed and its app told.
const tombstone = 30 * 24 * time.Hour
