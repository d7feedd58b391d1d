// Command retry is the Lambda function that finds each minute what falls due, claims it and sends it to the retry or the
// slow queue.
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
