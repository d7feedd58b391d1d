package control

import (
	"net/http"
	"strings"
	"testing"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// FuzzConsent reads what an endpoint's answer says of the consent to deliveries.
func FuzzConsent(f *testing.F) {
	for _, text := range []string{"120", "Sun, 01 Mar 2026 12:05:00 GMT", "-1", "1e9", "\x00", "+5", "*", "https://ringback.example"} {
		f.Add(text, text)
	}
	g, err := gateway.New(gateway.Config{Store: idle{}, Queue: idle{}, PublicURL: "https://ringback.example"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, after, origin string) {
		rate, err := New(g).consent(egress.Response{StatusCode: 200, Header: http.Header{"Webhook-Allowed-Origin": {origin}, "Webhook-Allowed-Rate": {after}}})
		if trimmed := strings.TrimSpace(origin); err == nil && trimmed != "*" && !strings.EqualFold(trimmed, g.Origin()) {
			t.Errorf("WebHook-Allowed-Origin: %q is taken for consent", origin)
		}
		if rate < 0 || err != nil && rate != 0 {
			t.Errorf("WebHook-Allowed-Rate: %q = %v, %v", after, rate, err)
		}
	})
}

// idle is a Store and a Queue that nobody asks.
type idle struct {
	storage.Store
	storage.Queue
}
