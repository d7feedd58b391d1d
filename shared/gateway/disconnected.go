package gateway

import (
	"context"
	"slices"
	"strings"
)

// ofWhole reports whether e is about the source itself: that it was
// disconnected, or SmartBots' own word on our registration there. Only a grant
// of the whole source covers it.
func (e *Event) ofWhole() bool {
	switch {
	case e.Only != "" || e.Tenant != "":
		return false
	case e.Type == sourceDisconnected:
		return true
	}
	return e.Provider == smartBots && (e.Type == callbackSet || e.Type == callbackRemoved)
}

// heedUpstream tells that the source was disconnected if e says so: SmartBots
// sends callback_removed when our registration there is gone ("Set HTTP
// callback to be called on group events", SmartBots), and calls no more. It is
// told at most once an hour for each callback key's label and group, and may be
// called again.
func (g *Gateway) heedUpstream(ctx context.Context, e *Event) error {
	if e.Type != callbackRemoved || !e.ofWhole() {
		return nil
	}
	group := slices.Sorted(slices.Values(e.Keys["group"]))
	about := strings.Join(append([]string{"upstream", e.Label}, group...), "\x00")
	return g.tellOf(ctx, sourceDisconnected, e.Source, e.Provider, "", about, operationalData{
		Why: "SmartBots removed the callback of this gateway; set it again", Group: strings.Join(group, " "), Label: e.Label,
	})
}
