package gateway

import (
	"testing"
	"time"

	"ringback/shared/provider"
)

// FindAll returns the registrations that want an event of the source which comes
// an hour from now, as find pages them.
func FindAll(t *testing.T, g *Gateway, source, typ string, limit int) (pages [][]string) {
	t.Helper()
	e := &provider.Event{Source: source, Type: typ, Received: time.Now().Add(time.Hour)}
	for from, more := (*cursor)(nil), true; more; more = from != nil {
		rs, next, err := g.matcher.match(t.Context(), e, from, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range rs {
			ids = append(ids, r.ID)
		}
		pages, from = append(pages, ids), next
	}
	return pages
}
