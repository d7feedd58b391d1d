// Package groups is what owners of SmartBots groups and those who know a Group Security Code do: groups.go
// makes and changes groups, setcallback.go serves set_http_callback, apps.go lists the registrations that it
// made, securitycode.go judges codes, and upstream.go asks SmartBots itself.
package groups

import (
	"cmp"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

const smartBotsAPI = "https://api.mysmartbots.com/api/simple.html"

// Groups are the groups of one gateway. It is safe for concurrent use.
type Groups struct {
	gw        *gateway.Gateway
	control   *control.Control
	smartBots string // address of SmartBots' own API for sources that name no other
	line      *line
}

// New returns the groups of c's gateway. smartBotsURL is where SmartBots' own API is for sources that name no
// other; default https://api.mysmartbots.com/api/simple.html.
func New(c *control.Control, smartBotsURL string) *Groups {
	return &Groups{gw: c.Gateway(), control: c, smartBots: cmp.Or(smartBotsURL, smartBotsAPI), line: newLine()}
}
