// Command api is the Lambda function of the HTTP API, the console and
// set_http_callback.
package main

import (
	"context"
	"log"
	"net/http"

	"ringback/functions/internal/deployed"
	"ringback/shared/cloud"
	"ringback/shared/provider/all"
	"ringback/shared/transfer"
)

func main() {
	ctx := context.Background()
	d, err := deployed.Open(ctx, all.Providers())
	if err != nil {
		log.Fatal(err)
	}
	if err := transfer.CheckRing(ctx, d.Gateway); err != nil {
		log.Fatal("secret of KEY_RING_SECRET: ", err)
	}
	h, err := deployed.Renewed(ctx, d.OperatorKey, func(key string) http.Handler { return handler(d.Gateway, key, d.Config.SmartBotsURL) })
	if err != nil {
		log.Fatal(err)
	}
	cloud.Start(d.Backend, cloud.HTTP(h))
}
