package cloud_test

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
)

// An unprocessed is a DynamoDB that answers BatchGetItem with nothing but what
// it was asked for.
type unprocessed struct{ requests atomic.Int64 }

func newUnprocessed() *unprocessed { return new(unprocessed) }

func (u *unprocessed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	var in struct{ RequestItems json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"Responses": map[string]any{}, "UnprocessedKeys": in.RequestItems})
}
