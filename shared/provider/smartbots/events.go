package smartbots

import (
	_ "embed"

	"ringback/shared/provider"
)

//go:embed eventtypes.json
var eventTypesJSON []byte

var eventTypes = provider.EventTypesOf(eventTypesJSON)

// EventTypes returns the events of "HTTP Bot Callback Events" and of the Simple
// Groups API, whose three stand first: their fields are assumed [inferred].
// SmartBots adds events on request.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }
