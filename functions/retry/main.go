// Command retry is the Lambda function that hands out, each minute, what falls due.
package main

import (
	"context"
	"log"

	"ringback/functions/internal/deployed"
	"ringback/shared/cloud"
)

func main() {
	d, err := deployed.OpenKeyless(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	cloud.Start(d.Backend, cloud.Schedule(d.Gateway.Retry))
}
