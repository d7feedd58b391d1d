// Package history tells what became of events: deliveries.go lists deliveries and attempts, events.go events, dryrun.go
// what a registration would have got, healths.go how endpoints do. merge.go makes one list of many partitions.
//
// It changes nothing, except that a delivery can be made once more.
package history

import (
	"ringback/shared/control"
	"ringback/shared/gateway"
)

// A History shows the events and deliveries of one gateway. It is safe for concurrent use.
type History struct {
	gw      *gateway.Gateway
	control *control.Control
}

// New returns the History of c's gateway.
func New(c *control.Control) *History { return &History{gw: c.Gateway(), control: c} }
