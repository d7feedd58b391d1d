// Command worker is the Lambda function of the three queues: it finds the registrations for each event, makes the
// attempts, and runs jobs.
package main

import (
	"context"
	"log"

	"ringback/functions/internal/deployed"
	"ringback/shared/cloud"
	"ringback/shared/provider/all"
	"ringback/shared/transfer"
)

func main() {
	d, err := deployed.Open(context.Background(), all.Providers())
	if err != nil {
		log.Fatal(err)
	}
	d.Gateway.Steps = transfer.Steps(d.Gateway)
	cloud.Start(d.Backend, byQueue(map[string]batchHandler{
		d.Config.AWS.EventsQueueURL: cloud.SQS(d.Gateway.FanOut),
		d.Config.AWS.RetryQueueURL:  cloud.SQS(d.Gateway.Redeliver),
		d.Config.AWS.SlowQueueURL:   cloud.SQS(d.Gateway.RedeliverSlow),
	}), d.Gateway.Egress.CloseIdle)
}
