// Command smartbots is the Lambda function that receives SmartBots' callbacks.
package main

import (
	"context"
	"log"

	"ringback/functions/internal/deployed"
	"ringback/shared/app"
	"ringback/shared/cloud"
	"ringback/shared/provider"
	"ringback/shared/provider/smartbots"
)

func main() {
	d, err := deployed.Open(context.Background(), map[string]provider.Provider{"smartbots": smartbots.Provider{}})
	if err != nil {
		log.Fatal(err)
	}
	cloud.Start(d.Backend, cloud.HTTP(app.Callback(d.Gateway, "smartbots")))
}
