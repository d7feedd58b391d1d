package main

import (
	"net/http"

	"ringback/shared/api"
	"ringback/shared/console"
	"ringback/shared/gateway"
)

// handler serves what template.yaml sends to this function: the console under
// /console, the API everywhere else.
func handler(g *gateway.Gateway, operatorKey, smartBotsURL string) http.Handler {
	calls := api.New(g, api.Config{OperatorKey: operatorKey, SmartBotsURL: smartBotsURL})
	page := console.New(calls, console.Config{Keys: g.Keys, PublicURL: g.PublicURL})
	mux := http.NewServeMux()
	mux.Handle("/", calls)
	mux.Handle("/console", page)
	mux.Handle("/console/", page)
	return api.Clean(mux)
}
