package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ringback/shared/api"
	"ringback/shared/gateway"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
)

// document returns the API's own description of itself, resolved and valid.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	g, err := gateway.New(gateway.Config{Store: nowhere{}, Queue: nowhere{}, Providers: all.Providers()})
	if err != nil {
		return nil, err
	}
	h := api.New(g, api.Config{})
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(rec.Body.Bytes())
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

func TestOpenAPIDocumentIsValid(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("document is of OpenAPI %q, want 3.1", doc.OpenAPI)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s: operation without id or summary", method, path)
			}
		}
	}
}

// conforms fails the test unless the answer is one that the document describes.
func conforms(t testing.TB, r *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	op := operationOf(doc, r)
	if op == nil {
		return // not an operation: the problem that says so
	}
	res := op.Responses.Value(strconv.Itoa(rec.Code))
	if res == nil {
		t.Errorf("%s %s: answer %d is not described", r.Method, op.OperationID, rec.Code)
		return
	}
	kind, _, _ := strings.Cut(rec.Header().Get("Content-Type"), ";")
	if rec.Body.Len() == 0 && len(res.Value.Content) == 0 {
		return
	}
	media := res.Value.Content[kind]
	if media == nil {
		t.Errorf("%s %s: answer %d of type %q is not described", r.Method, op.OperationID, rec.Code, kind)
		return
	}
	if kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return
	}
	var v any
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Errorf("%s: answer is not JSON: %s", op.OperationID, rec.Body)
		return
	}
	if err := media.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s: answer %d does not conform: %v\n%s", op.OperationID, rec.Code, err, rec.Body)
	}
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

// nowhere is the Store and Queue of a gateway that asks neither.
type nowhere struct {
	storage.Store
	storage.Queue
}
