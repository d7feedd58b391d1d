package api_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/gateway"
)

// TestFirstCallsAtOnceFindTheirRoutes makes calls while the routes are made.
func TestFirstCallsAtOnceFindTheirRoutes(t *testing.T) {
	g, err := gateway.New(gateway.Config{Store: nowhere{}, Queue: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	h := apitest.New(t, g, api.Config{})
	var wg sync.WaitGroup
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/openapi.json": http.StatusOK, "/v1/me": http.StatusUnauthorized, "/v1/nothing": http.StatusNotFound,
	} {
		for range 4 {
			wg.Go(func() {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
				if rec.Code != want {
					t.Errorf("GET %s: %d %s, want %d", path, rec.Code, rec.Body, want)
				}
			})
		}
	}
	wg.Wait()
	for _, path := range []string{"/healthz", "/v1/me"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPut, path, nil))
		if rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("PUT %s: %d, want 405", path, rec.Code)
		}
	}
}
