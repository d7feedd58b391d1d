// Command function answers events of API Gateway with their own body. It opens
// the backend of AWS, so that it is as large as a real function is.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"

	"ringback/shared/cloud"
	"ringback/shared/config"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

func main() {
	cfg, err := config.Load(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	b, err := cloud.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	var store storage.Store = b.Store
	var queue storage.Queue = b.Queue
	cloud.Start(b, cloud.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch string(body) {
		case "store":
			store.Get(r.Context())
			queue.Send(r.Context(), storage.EventsQueue, nil)
			b.Secret(r.Context(), "")
		case "end":
			os.Exit(1)
		case "hang":
			select {}
		}
		b.Metrics.Add(gateway.Callbacks, 1)
		w.Write(body)
	})), func() { log.Print("ended in order") })
}
