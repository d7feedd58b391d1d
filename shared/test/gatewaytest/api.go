package gatewaytest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An API is a client of the HTTP API, which it calls without a network.
type API struct {
	T       testing.TB
	Handler http.Handler
	Log     *Lines // whose last lines stand beside a failure; nil: none
}

// An Object is a JSON object.
type Object map[string]any

// Text returns a member that is a text, or "".
func (o Object) Text(name string) string { s, _ := o[name].(string); return s }

// With returns o with one member more, or another value of it.
func (o Object) With(name string, v any) Object {
	out := maps.Clone(o)
	out[name] = v
	return out
}

// Without returns o without a member.
func (o Object) Without(name string) Object {
	out := maps.Clone(o)
	delete(out, name)
	return out
}

// Data returns the objects of a page.
func (o Object) Data() []Object {
	data, _ := o["data"].([]any)
	out := make([]Object, len(data))
	for i, v := range data {
		out[i] = v.(map[string]any)
	}
	return out
}

// A Reply is a response of the API.
type Reply struct {
	Code   int
	Header http.Header
	Raw    string
	Object Object
}

// ID returns the id of the object.
func (r Reply) ID() string { return r.Object.Text("id") }

// Text returns a member of the object that is a text, or "".
func (r Reply) Text(name string) string { return r.Object.Text(name) }

// List returns the objects of a page. The test ends if the reply is none.
func (r Reply) List(t testing.TB) []Object {
	t.Helper()
	if _, ok := r.Object["data"].([]any); !ok {
		t.Fatalf("reply without data: %d %s", r.Code, r.Raw)
	}
	return r.Object.Data()
}

// Call makes one call with a key, or without if it is "". The body is nil, a string
// verbatim, or made JSON; header is names and values in turn.
func (a *API) Call(key, method, path string, body any, header ...string) Reply {
	a.T.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			a.T.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	r := httptest.NewRequest(method, path, in)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	a.Handler.ServeHTTP(rec, r)
	reply := Reply{Code: rec.Code, Header: rec.Header(), Raw: rec.Body.String()}
	json.Unmarshal(rec.Body.Bytes(), &reply.Object)
	return reply
}

// Want is Call, and ends the test unless the reply has that status.
func (a *API) Want(code int, key, method, path string, body any, header ...string) Reply {
	a.T.Helper()
	r := a.Call(key, method, path, body, header...)
	if r.Code != code {
		a.T.Fatalf("%s %s with %v: %d %s, want %d\n%s", method, path, body, r.Code, r.Raw, code, a.lastLines())
	}
	return r
}

// OK is Call, and ends the test unless it succeeds.
func (a *API) OK(key, method, path string, body any) Object {
	a.T.Helper()
	r := a.Call(key, method, path, body)
	if r.Code >= 300 {
		a.T.Fatalf("%s %s with %v: %d %s, want a success\n%s", method, path, body, r.Code, r.Raw, a.lastLines())
	}
	return r.Object
}

func (a *API) lastLines() string {
	if a.Log == nil {
		return ""
	}
	return "log:\n" + a.Log.Last(3)
}
