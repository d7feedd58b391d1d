package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// A rival publishes a change of its own before each change of a source that it
// sees published.
type rival struct {
	storage.Store
	before int
}

// Put implements storage.Store.
func (s *rival) Put(ctx context.Context, r storage.Row, was string) error {
	if r.SK == "V" && strings.HasPrefix(r.PK, "S#") {
		s.before++
		theirs := r
		rows, err := s.Get(ctx, r.Key)
		if err != nil {
			return err
		}
		for _, row := range rows {
			theirs = row
		}
		theirs.Rev = storage.NewRev()
		if err := s.Store.Put(ctx, theirs, storage.AnyRev); err != nil {
			return err
		}
	}
	return s.Store.Put(ctx, r, was)
}

// TestChangeIsPublishedByWhoWasFaster has a source of which something else is
// published each time that a change is: nobody gives up, however many are at it.
func TestChangeIsPublishedByWhoWasFaster(t *testing.T) {
	g := newGateway(t, 0)
	c, source := tenant(t, g)
	register(t, g, c, source) // its pattern is in use
	s := &rival{Store: g.Store}
	g.Store = s
	url := "https://tenant.example/"
	r, _, err := control.New(g).CreateRegistration(t.Context(), c, ident.New("reg", time.Now()), source, control.RegistrationChange{URL: &url})
	if err != nil {
		t.Fatal(err)
	}
	if s.before == 0 || s.before > 4 {
		t.Errorf("the change was published %d times, want once or twice before and after its entries", s.before)
	}
	checkEntries(t, g, c, r.ID)
}
