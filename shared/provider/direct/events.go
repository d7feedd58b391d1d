package direct

import (
	_ "embed"

	"ringback/shared/provider"
)

//go:embed eventtypes.json
var eventTypesJSON []byte

var eventTypes = provider.EventTypesOf(eventTypesJSON)

// EventTypes returns the values of callback_event. An event names what was
// asked for; its field status tells what happened.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }
