// Command pigeon is the Lambda function that takes the callbacks of Pigeon Post.
package main

import (
	"context"
	"log"

	"ringback/functions/internal/deployed"
	"ringback/shared/app"
	"ringback/shared/cloud"
	"ringback/shared/provider"
	"ringback/shared/provider/pigeon"
)

func main() {
	d, err := deployed.Open(context.Background(), map[string]provider.Provider{"pigeon": pigeon.Provider{}})
	if err != nil {
		log.Fatal(err)
	}
	cloud.Start(d.Backend, cloud.HTTP(app.Callback(d.Gateway, "pigeon")))
}
