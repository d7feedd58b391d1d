package provider

import (
	"encoding/json"
	"sync"
)

// An EventType describes one of a provider's events to people.
type EventType struct {
	Name   string          `json:"name"`   // as it stands in an Event
	About  string          `json:"about"`  // one sentence
	Sample json.RawMessage `json:"sample"` // what data of a standard delivery may look like
}

// EventTypesOf returns what reads list, a JSON array of event types, at its first
// call: who takes callbacks has no use for them. It panics if list is no such array.
func EventTypesOf(list []byte) func() []EventType {
	return sync.OnceValue(func() (types []EventType) {
		if err := json.Unmarshal(list, &types); err != nil {
			panic(err)
		}
		return types
	})
}
