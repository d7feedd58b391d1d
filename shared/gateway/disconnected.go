package gateway

import (
	"context"
	"slices"
	"strings"

	"ringback/shared/provider"
)

// heedUpstream tells that the source was disconnected if e says so: SmartBots
// sends callback_removed when our registration there is gone ("Set HTTP
// callback to be called on group events", SmartBots), and calls no more. It is
// told at most once an hour for each callback key's label and group, and may be
// called again.
func (fs *fanOuts) heedUpstream(ctx context.Context, e *provider.Event) error {
	if e.Type != CallbackRemoved || !ofWhole(e) {
		return nil
	}
	group := slices.Sorted(slices.Values(e.Keys["group"]))
	about := strings.Join(append([]string{"upstream", e.Label}, group...), "\x00")
	return fs.teller.tellOf(ctx, sourceDisconnected, e.Source, e.Provider, "", about, operationalData{
		Why: "SmartBots removed the callback of this gateway; set it again", Group: strings.Join(group, " "), Label: e.Label,
	})
}
