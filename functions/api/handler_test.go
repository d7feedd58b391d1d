package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringback/shared/api/apitest"
	"ringback/shared/app"
	"ringback/shared/config"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
)

func TestConsoleAndAPIAnswerSideBySide(t *testing.T) {
	const key = "0123456789abcdefghijklmnopqrstuvwxyz"
	keys, err := keyring.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	g, err := app.New(config.Config{PublicURL: "https://callbacks.example.com"}, app.Parts{Store: nowhere{}, Queue: nowhere{}, Keys: keys, Providers: all.Providers()})
	if err != nil {
		t.Fatal(err)
	}
	h := apitest.Checked(t, handler(g, key, ""))
	for _, tt := range []struct {
		method, path, body, bearer string
		code                       int
		contentType                string
	}{
		{"GET", "/healthz", "", "", 200, "application/json"},
		{"GET", "/openapi.json", "", "", 200, "application/openapi+json"},
		{"GET", "/v1/me", "", "", 401, "application/problem+json"},
		{"GET", "/v1/me", "", key, 200, "application/json"},
		{"GET", "/console", "", "", 200, "text/html; charset=utf-8"},
		{"GET", "/console/session", "", "", 200, "application/json"},
		{"POST", "/console/session", `{"key":"` + key + `"}`, "", 200, "application/json"},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Origin", "https://callbacks.example.com")
		if tt.bearer != "" {
			r.Header.Set("Authorization", "Bearer "+tt.bearer)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); w.Code != tt.code || got != tt.contentType {
			t.Errorf("%s %s: %d %s, want %d %s\n%s", tt.method, tt.path, w.Code, got, tt.code, tt.contentType, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/console/session", strings.NewReader("{}")))
	if w.Code != http.StatusForbidden {
		t.Errorf("POST /console/session without an origin: %d, want 403", w.Code)
	}
}

// nowhere is the Store and Queue of a gateway that asks neither.
type nowhere struct {
	storage.Store
	storage.Queue
}
