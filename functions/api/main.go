// Command api is the Lambda function of the HTTP API, the console and set_http_callback.
package main

import (
	"context"
	"log"

	"ringback/functions/internal/deployed"
	"ringback/shared/cloud"
	"ringback/shared/provider/all"
)

func main() {
	ctx := context.Background()
	d, err := deployed.Open(ctx, all.Providers())
	if err != nil {
		log.Fatal(err)
	}
	h, err := open(ctx, d)
	if err != nil {
		log.Fatal(err)
	}
	cloud.Start(d.Backend, cloud.HTTP(h))
}
