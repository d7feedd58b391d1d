package apitest

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringback/shared/test/tracked"
)

func TestCheckRefusesWhatTheDocumentDoesNotSay(t *testing.T) {
	const problem = `{"type":"about:blank","title":"Not Found","status":404}`
	for _, tt := range []struct {
		name, method, path string
		status             int
		kind, body         string
		holds              bool
	}{
		{"as described", "GET", "/v1/me", 200, "application/json", `{"key":"operator","scope":"operator"}`, true},
		{"a field missing", "GET", "/v1/me", 200, "application/json", `{"key":"operator"}`, false},
		{"a field of another type", "GET", "/v1/me", 200, "application/json", `{"key":1,"scope":"operator"}`, false},
		{"a field that is not described", "GET", "/v1/me", 200, "application/json", `{"key":"operator","scope":"operator","more":1}`, false},
		{"another status", "GET", "/v1/me", 201, "application/json", `{"key":"operator","scope":"operator"}`, false},
		{"another type", "GET", "/v1/me", 200, "text/html", "<p>", false},
		{"no JSON", "GET", "/v1/me", 200, "application/json", `{`, false},
		{"a body where there is none", "DELETE", "/v1/keys/x", 204, "application/json", `{}`, false},
		{"a problem", "GET", "/v1/keys/x", 404, "application/problem+json", problem, true},
		{"a problem with what was sent", "GET", "/v1/keys/x", 404, "application/problem+json", `{"value":"secret"}`, false},
		{"a problem of no operation", "GET", "/v1/nothing", 404, "application/problem+json", problem, true},
		{"no problem of no operation", "GET", "/v1/nothing", 404, "text/plain", "404 page not found", false},
		{"a page", "GET", "/console", 200, "text/html", "<p>", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, nil)
			err := Check(r, tt.status, http.Header{"Content-Type": {tt.kind}}, []byte(tt.body))
			if (err == nil) != tt.holds {
				t.Errorf("Check: %v, want that it holds: %v", err, tt.holds)
			}
		})
	}
}

// TestHandlerAndClientAskCheck serves what the document does not say through both.
func TestHandlerAndClientAskCheck(t *testing.T) {
	told := &told{TB: t}
	wrong := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) })
	Checked(told, wrong).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/me", nil))
	if told.errors != 1 {
		t.Errorf("the handler told of %d errors, want 1", told.errors)
	}
	server := httptest.NewServer(wrong)
	defer server.Close()
	resp, err := Client(told).Get(server.URL + "/v1/me")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "{}" || err != nil || told.errors != 2 {
		t.Errorf("the client told of %d errors and returned %q, %v; want one more and {}", told.errors-1, body, err)
	}
}

// A told counts errors in place of failing.
type told struct {
	testing.TB
	errors int
}

func (c *told) Error(...any) { c.errors++ }

// TestNoTestCallsTheAPIUnchecked reads the tests of the repository: they have the API from New of this package, and
// tests of programs wrap its handler or use its client.
func TestNoTestCallsTheAPIUnchecked(t *testing.T) {
	repository := tracked.Files("../../..")
	checked := 0
	err := fs.WalkDir(repository, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(repository, path)
		if strings.Contains(string(text), "api"+".New(") {
			t.Errorf("%s: calls the API unchecked; want apitest's New", path)
		}
		checked += strings.Count(string(text), "apitest"+".")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 5 {
		t.Errorf("%d uses of apitest in tests, want those of api, app, console and the two programs", checked)
	}
}
