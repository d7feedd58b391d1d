package api

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ringback/shared/control"
	"ringback/shared/storage"
)

// An operation is a call of the API as operations.json describes it.
type operation struct {
	Call    string // method and path
	Status  int    // of success; default 200, or 204 without a body
	Scopes  []control.Scope
	Summary string
	More    string          // description
	Example json.RawMessage // of its body
}

//go:embed operations.json
var operationsJSON []byte

// operations returns all by their names. It is the one place that decides which
// scopes may call each; what belongs to whom is decided by the gateway's verbs.
var operations = sync.OnceValue(func() (all map[string]operation) {
	if err := json.Unmarshal(operationsJSON, &all); err != nil {
		panic(err) // unreachable: the file is part of this package
	}
	return all
})

// allowed reports whether a key of that scope may call the operation. Nobody may call one that is not listed.
func allowed(name string, scope control.Scope) bool {
	return slices.Contains(operations()[name].Scopes, scope)
}

// add registers the operation of that name, which f makes.
func add[I, O any](s *server, name string, f func(ctx context.Context, c control.Caller, in *I) (*O, error)) {
	s.register(described(name), reflect.TypeFor[I](), reflect.TypeFor[O](), func(ctx context.Context, in any) (any, error) {
		return f(ctx, callOf(ctx).caller, in.(*I))
	})
}

// described returns an operation as operations.json describes it.
func described(name string) *huma.Operation {
	o := operations()[name]
	method, path, _ := strings.Cut(o.Call, " ")
	_, rest, _ := strings.Cut(path, "/v1/")
	tag, _, _ := strings.Cut(rest, "/")
	return &huma.Operation{
		OperationID: name, Method: method, Path: path, DefaultStatus: o.Status, Summary: o.Summary, Description: o.More,
		Tags: []string{tag}, Security: []map[string][]string{{"key": {}}},
	}
}

// body is a response that is JSON.
type body[T any] struct{ Body T }

// created is the response to a create.
type created[T any] struct {
	Replayed string `header:"Idempotent-Replayed" doc:"true if the same request succeeded before; its one-time secret is left out"`
	Body     T
}

// empty is a response without a body.
type empty struct{}

// A page is a part of a list.
type page[T any] struct {
	Data []T    `json:"data" nullable:"false"`
	Next string `json:"next_cursor" doc:"cursor of the next page; empty after the last. A page may be short and yet not be the last."`

	Scanned time.Time `json:"scanned_to,omitzero" doc:"of a page of events or deliveries that is empty and not the last: how far back the call read. One call reads 20,000 rows, on AWS for at most 0.8 s."`
}

// pageOf returns a page of vs, each converted by view.
func pageOf[V, T any](vs []V, next string, view func(V) T) *body[page[T]] {
	p := page[T]{Data: make([]T, 0, len(vs)), Next: next}
	for _, v := range vs {
		p.Data = append(p.Data, view(v))
	}
	return &body[page[T]]{p}
}

// ListParameters are the parameters of a list.
type ListParameters struct {
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" doc:"rows of a page, at most"`
}

func (p ListParameters) pageRequest() storage.PageRequest {
	return storage.PageRequest{Cursor: p.Cursor, Limit: p.Limit}
}

// Once is the parameter of operations that create a resource.
type Once struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"the same request with the same key within 24 h is done once"`
}

// ByID is the parameter of operations on one resource.
type ByID struct {
	ID string `path:"id" maxLength:"200"`
}

type listOfSource struct {
	ByID
	ListParameters
}

// rotation is the body of a rotation; it may be left out.
type rotation struct {
	Overlap string `json:"overlap,omitempty" doc:"how long the old one stays valid; default 24h, 720h for callback keys of direct"`
}

func (r *rotation) overlap(otherwise time.Duration) (time.Duration, error) {
	if r == nil {
		return otherwise, nil
	}
	return duration("overlap", r.Overlap, otherwise)
}

// createOnce returns what create makes, with an id that has the prefix. If an earlier call with the same idempotency
// key succeeded, it returns what read returns for that call's id.
func createOnce[T any](ctx context.Context, s *server, o Once, prefix string, input any, create, read func(id string) (T, error)) (*created[T], error) {
	data, _ := json.Marshal(input) // cannot fail: it was decoded from JSON
	var out created[T]
	call := callOf(ctx)
	what := control.Create{Key: o.Key, Body: call.operation + "\x00" + string(data), Prefix: prefix}
	id, replayed, err := s.control.Idempotent(ctx, call.caller, what, func(id string) (err error) {
		out.Body, err = create(id)
		return err
	})
	if err == nil && replayed {
		out.Replayed = "true"
		out.Body, err = read(id)
	}
	return &out, err
}

// note says why a repeated create's response holds no secret.
const note = "This request succeeded before; the secret in its response is not shown again."

// duration reads a duration such as 24h; text may be empty for the default.
func duration(field, text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: want a duration such as 10s or 24h", field, storage.ErrInvalid)
	}
	return d, nil
}

// An optional field distinguishes a value, null, and a field that was not sent.
type optional[T any] struct {
	Sent, Null bool
	Value      T
}

func (o *optional[T]) UnmarshalJSON(b []byte) error {
	if o.Sent = true; bytes.Equal(b, []byte("null")) {
		o.Null = true
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

func (o optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Sent || o.Null {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// Schema describes T, or null.
func (o optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = s.Ref == ""
	return s
}

// rejectNull returns an error wrapping ErrInvalid if null was sent. For example, null for event_types could be read as
// "all" or as "the default".
func (o optional[T]) rejectNull(field string) error {
	if o.Sent && o.Null {
		return fmt.Errorf("%s: %w: want a value, or leave it out", field, storage.ErrInvalid)
	}
	return nil
}
