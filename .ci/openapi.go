// Command openapi writes the API's OpenAPI document to its standard output.
package main

import (
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"ringback/shared/api"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

func main() {
	// The document is made from the code alone: nothing is read or queued.
	g, err := gateway.New(gateway.Config{Store: struct{ storage.Store }{}, Queue: struct{ storage.Queue }{}})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	api.New(g, api.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	if w.Code != http.StatusOK {
		log.Fatalf("GET /openapi.json: %d %s", w.Code, w.Body)
	}
	os.Stdout.Write(w.Body.Bytes())
}
