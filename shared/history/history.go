// Package history lists what happened to events: deliveries.go deliveries and attempts, events.go events,
// dryrun.go what a registration would have received, healths.go the state of endpoints. merge.go makes one list of
// many partitions.
//
// It changes nothing, except that it can resend a delivery.
package history

import (
	"ringback/shared/control"
	"ringback/shared/gateway"
)

// A History lists the events and deliveries of one gateway. It is safe for concurrent use.
type History struct {
	gw      *gateway.Gateway
	control *control.Control
}

// New returns the History of c's gateway.
func New(c *control.Control) *History { return &History{gw: c.Gateway(), control: c} }
