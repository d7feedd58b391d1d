package examples_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// An endpoint is a tenant's endpoint.
type endpoint struct {
	Webhook *standardwebhooks.Webhook // made of the registration's signing secret
	Gateway string                    // host of the gateway's address
	Handle  func(typ string, data json.RawMessage)

	mu   sync.Mutex
	seen map[string]bool // webhook-ids; a real one keeps them in its database
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodOptions:
		e.consent(w, r)
	case http.MethodPost:
		e.receive(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// receive verifies a delivery and does its work once. Put the work aside if it
// takes long: the gateway waits 15 s.
func (e *endpoint) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
	if err != nil || e.Webhook.Verify(body, r.Header) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var event struct {
		Type string
		Data json.RawMessage
	}
	if err := json.Unmarshal(body, &event); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if e.first(r.Header.Get("webhook-id")) {
		e.Handle(event.Type, event.Data)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (e *endpoint) first(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil {
		e.seen = map[string]bool{}
	}
	before := e.seen[id]
	e.seen[id] = true
	return !before
}

// consent answers the ownership challenge: to the gateway, and to nobody else.
func (e *endpoint) consent(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST")
	if origin := r.Header.Get("WebHook-Request-Origin"); e.Gateway != "" && strings.EqualFold(origin, e.Gateway) {
		w.Header().Set("WebHook-Allowed-Origin", origin)
		w.Header().Set("WebHook-Allowed-Rate", "*")
	}
	w.WriteHeader(http.StatusNoContent)
}

func Example() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(&endpoint{
		Webhook: webhook,
		Gateway: "ringback.example",
		Handle:  func(typ string, data json.RawMessage) { fmt.Println(typ, string(data)) },
	})
	defer server.Close()

	// What the gateway sends, twice, and then somebody else.
	body := `{"id":"evt_1","type":"group_chat","data":{"message":"the dock is open"}}`
	at := time.Now()
	signature, err := webhook.Sign("evt_1", at, []byte(body))
	if err != nil {
		log.Fatal(err)
	}
	for _, signature := range []string{signature, signature, "v1,Z3Vlc3NlZA=="} {
		r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("webhook-id", "evt_1")
		r.Header.Set("webhook-timestamp", fmt.Sprint(at.Unix()))
		r.Header.Set("webhook-signature", signature)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}
	// Output:
	// group_chat {"message":"the dock is open"}
	// 204
	// 204
	// 401
}
