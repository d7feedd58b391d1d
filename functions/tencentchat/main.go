// Command tencentchat is the Lambda function that receives Tencent Chat's callbacks.
package main

import (
	"context"
	"log"

	"ringback/functions/internal/deployed"
	"ringback/shared/app"
	"ringback/shared/cloud"
	"ringback/shared/provider"
	"ringback/shared/provider/tencentchat"
)

func main() {
	d, err := deployed.Open(context.Background(), map[string]provider.Provider{"tencent-chat": tencentchat.Provider{}})
	if err != nil {
		log.Fatal(err)
	}
	cloud.Start(d.Backend, cloud.HTTP(app.Callback(d.Gateway, "tencent-chat")))
}
