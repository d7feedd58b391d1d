package main

import (
	"context"
	"fmt"
	"net/http"

	"ringback/functions/internal/deployed"
	"ringback/shared/api"
	"ringback/shared/console"
	"ringback/shared/gateway"
	"ringback/shared/transfer"
)

// open returns d's handler. It fails if d's key ring is not the one that encrypted the stored secrets.
func open(ctx context.Context, d *deployed.Deployed) (http.Handler, error) {
	if err := transfer.CheckRing(ctx, d.Gateway); err != nil {
		return nil, fmt.Errorf("secret of KEY_RING_SECRET: %w", err)
	}
	return deployed.Renewed(ctx, d.OperatorKey, func(key string) http.Handler { return handler(d.Gateway, key, d.Config.SmartBotsURL) })
}

// handler serves the routes that template.yaml sends to this function: the console under /console, and the API.
func handler(g *gateway.Gateway, operatorKey, smartBotsURL string) http.Handler {
	calls := api.New(g, api.Config{OperatorKey: operatorKey, SmartBotsURL: smartBotsURL})
	page := console.New(calls, console.Config{Keys: g.Keys, PublicURL: g.PublicURL})
	mux := http.NewServeMux()
	mux.Handle("/", calls)
	mux.Handle("/console", page)
	mux.Handle("/console/", page)
	return api.Clean(mux)
}
