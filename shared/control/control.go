// Package control is what the API does with a gateway: it makes sources, tenants, keys, grants and registrations, and
// starts jobs. It writes the rows by which the gateway goes, and has no part in an event's path.
//
// Its verbs stand in layers, of which each uses those below it:
//
//	lifecycle      tenantchange.go, sourceremoval.go, removal.go: what ends with all that hangs on it
//	actions        actions.go: jobs and tests
//	registrations  registrations.go, publication.go, endpoint.go, challenge.go, apps.go
//	tenants        tenants.go, apikeys.go
//	sources        sources.go, callbackkeys.go
//	base           reservations.go, idempotency.go: names that are one's own, groups, creates that run once
//
// access.go says who calls, and what is the caller's.
package control

import "ringback/shared/gateway"

// A Control changes and lists the configuration of one gateway. It has no state of its own and is safe for
// concurrent use; a gateway may have any number of them.
type Control struct{ *lifecycle }

// New returns the Control of g.
func New(g *gateway.Gateway) *Control {
	ss := &sources{&base{g}}
	return &Control{&lifecycle{&actions{&registrations{&tenants{ss}}}}}
}

// Gateway returns the gateway that c is the Control of.
func (c *Control) Gateway() *gateway.Gateway { return c.gw }

// Steps returns what the jobs of this package do, for the Steps of g if its process runs jobs.
func Steps(g *gateway.Gateway) map[gateway.JobKind]gateway.Step {
	c := New(g)
	return map[gateway.JobKind]gateway.Step{
		gateway.JobRemoval: c.removalStep,
		gateway.JobErasure: c.erasureStep,
		gateway.JobCode:    c.codeStep,
	}
}
