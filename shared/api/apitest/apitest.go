// Package apitest holds responses of the API against its OpenAPI document, for the tests of whoever calls it.
package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ringback/shared/api"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

const problemType = "application/problem+json"

// Document returns the API's description of itself, resolved and valid. It is read once in a process.
var Document = sync.OnceValues(func() (*openapi3.T, error) {
	g, err := gateway.New(gateway.Config{Store: nowhere{}, Queue: nowhere{}})
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	api.New(g, api.Config{}).ServeHTTP(rec, httptest.NewRequest("GET", "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(rec.Body.Bytes())
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

// nowhere is the Store and Queue of a gateway that asks neither.
type nowhere struct {
	storage.Store
	storage.Queue
}

// New returns the API of g, which fails the test when a response is not as the document says.
func New(t testing.TB, g *gateway.Gateway, cfg api.Config) http.Handler {
	return Checked(t, api.New(g, cfg))
}

// Checked returns h, which fails the test when h's response to a call of the API is not as the document says.
func Checked(t testing.TB, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(rec, r)
		if err := Check(r, rec.status, w.Header(), rec.body.Bytes()); err != nil {
			t.Error(err)
		}
	})
}

// Client returns a client that fails the test when the response to a call of the API is not as the document says.
func Client(t testing.TB) *http.Client { return &http.Client{Transport: transport{t}} }

type transport struct{ t testing.TB }

func (tr transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil {
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if bad := Check(r, resp.StatusCode, resp.Header, body); bad != nil {
			tr.t.Error(bad)
		}
	}
	return resp, err
}

// Check returns an error if a response to r is not as the document says. On a path that no operation has, it checks
// only the form of problems.
func Check(r *http.Request, status int, header http.Header, body []byte) error {
	doc, err := Document()
	if err != nil {
		return err
	}
	name := r.Method + " " + r.URL.Path
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	op := operationOf(doc, r)
	if op == nil {
		if kind == problemType || strings.HasPrefix(r.URL.Path, "/v1/") {
			return conforms(name, doc.Components.Schemas["ErrorModel"], body)
		}
		return nil
	}
	res := op.Responses.Value(strconv.Itoa(status))
	if res == nil {
		return fmt.Errorf("%s: response %d is not described: %s", name, status, body)
	}
	if len(body) == 0 && len(res.Value.Content) == 0 {
		return nil
	}
	media := res.Value.Content[kind]
	if media == nil {
		return fmt.Errorf("%s: response %d of type %q is not described: %s", name, status, kind, body)
	}
	if kind != "application/json" && kind != problemType {
		return nil
	}
	return conforms(fmt.Sprint(name, ", response ", status), media.Schema, body)
}

// conforming holds what was found to conform: the library compiles a schema anew for each value, and tests that wait
// for something get the same response many times.
var conforming sync.Map // of seen

type seen struct {
	schema *openapi3.SchemaRef
	body   string
}

func conforms(name string, schema *openapi3.SchemaRef, body []byte) error {
	if _, ok := conforming.Load(seen{schema, string(body)}); ok {
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("%s: not JSON: %s", name, body)
	}
	if err := schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
		return fmt.Errorf("%s: does not conform: %v\n%s", name, err, body)
	}
	conforming.Store(seen{schema, string(body)}, true)
	return nil
}

// operationOf returns the operation that a request is for, nil if there is none.
func operationOf(doc *openapi3.T, r *http.Request) *openapi3.Operation {
	for path, item := range doc.Paths.Map() {
		if matches(path, r.URL.Path) {
			return item.Operations()[r.Method]
		}
	}
	return nil
}

func matches(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}

// A recorder passes a response on and remembers it.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
