// Package transfer carries all that is configured: export.go writes it as lines, import.go and importrows.go
// read them at another gateway with the same key ring, and reseal.go seals its secrets anew. Each walks the
// rows by the tour of tour.go.
package transfer

import (
	"ringback/shared/control"
	"ringback/shared/gateway"
)

// A Transfer moves what one gateway is configured with. It is safe for concurrent use.
type Transfer struct {
	gw      *gateway.Gateway
	control *control.Control
}

// New returns the Transfer of c's gateway.
func New(c *control.Control) *Transfer { return &Transfer{gw: c.Gateway(), control: c} }

// Steps returns what jobs do that are not the gateway's own, for the Steps of g if its process runs jobs:
// those of package control, and re-sealing.
func Steps(g *gateway.Gateway) map[gateway.JobKind]gateway.Step {
	steps := control.Steps(g)
	steps[gateway.JobReseal] = New(control.New(g)).resealStep
	return steps
}
