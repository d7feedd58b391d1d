package tencentchat

import (
	_ "embed"

	"ringback/shared/provider"
)

//go:embed eventtypes.json
var eventTypesJSON []byte

var eventTypes = provider.EventTypesOf(eventTypesJSON)

// EventTypes returns the commands that have a page below 1047/34354, and those
// that Tencent's and public SDKs name. The set grows.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }
