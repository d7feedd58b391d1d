package provider

import (
	"encoding/json"
	"sync"
)

// An EventType describes one of a provider's events to people.
type EventType struct {
	Name   string          `json:"name"`   // as it stands in an Event
	About  string          `json:"about"`  // what it reports, in one sentence
	Sample json.RawMessage `json:"sample"` // possible data of a standard delivery
}

// EventTypesOf returns a function that decodes list, a JSON array of event types, at its first call, since an
// ingest Lambda never makes it. It panics if list is malformed.
func EventTypesOf(list []byte) func() []EventType {
	return sync.OnceValue(func() (types []EventType) {
		if err := json.Unmarshal(list, &types); err != nil {
			panic(err)
		}
		return types
	})
}
