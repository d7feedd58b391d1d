package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// A handler serves one operation.
type handler struct {
	*server
	op         *huma.Operation
	input      reflect.Type
	parameters []parameter
	call       func(ctx context.Context, in any) (any, error) // takes a pointer to an input, returns one to an output
}

// register describes and serves op as its types say: the fields of an input that are tagged path, query or header are
// parameters, those of an output tagged header are headers, and Body is the body of either.
//
// huma.Register does the same, but is compiled anew for each pair of types: shared/docs/architecture.md has the sizes.
// So Huma makes the schemas and validates by them, and the handling of HTTP is here.
func (s *server) register(op *huma.Operation, in, out reflect.Type, call func(ctx context.Context, in any) (any, error)) {
	s.mux.Handle(op.Method+" "+op.Path, &handler{s, op, in, s.describeParameters(op, in), call})
	s.describeRequest(op, in)
	s.describeResponses(op, out)
	s.doc.AddOperation(op)
}

// ServeHTTP checks key, scope and rate limit before it reads the body, so that a caller without a right to call costs
// little.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := callOf(r.Context())
	c.operation, c.pattern = h.op.OperationID, h.op.Path
	if err := h.admit(r.Context(), c, bearer(r.Header.Get("Authorization")), 1); err != nil {
		h.writeError(r.Context(), w, err)
		return
	}
	in := reflect.New(h.input)
	if invalid := h.read(w, r, in.Elem()); invalid != nil {
		h.writeInvalid(c, w, h.op, invalid)
		return
	}
	out, err := h.call(r.Context(), in.Interface())
	if err != nil {
		h.writeError(r.Context(), w, err)
		return
	}
	respond(w, h.op.DefaultStatus, reflect.ValueOf(out).Elem())
}

// invalidInput says what is wrong with a request, with a status of 422 if it could be read.
type invalidInput struct {
	status int
	detail string
	errors []error // each a *huma.ErrorDetail
}

func (i *invalidInput) set(status int, detail string) { i.status, i.detail = status, detail }

func (i *invalidInput) add(location, message string) {
	i.errors = append(i.errors, &huma.ErrorDetail{Location: location, Message: message})
}

// read sets an input to what r says. It returns nil, or all that is wrong with body and parameters.
func (h *handler) read(w http.ResponseWriter, r *http.Request, in reflect.Value) *invalidInput {
	invalid := &invalidInput{status: http.StatusUnprocessableEntity, detail: "validation failed"}
	if invalid.errors = h.unknownParameters(r); invalid.errors == nil {
		if h.op.RequestBody != nil {
			h.readBody(w, r, in.FieldByName("Body"), invalid)
		}
		invalid.errors = append(invalid.errors, h.readParameters(r, in)...)
	}
	if invalid.status == http.StatusUnprocessableEntity && len(invalid.errors) == 0 {
		return nil
	}
	return invalid
}

// readBody reads the body into body within the operation's limits of bytes and time, or says in invalid what is wrong.
func (h *handler) readBody(w http.ResponseWriter, r *http.Request, body reflect.Value, invalid *invalidInput) {
	huma.SetReadDeadline(w, time.Now().Add(h.op.BodyReadTimeout))
	data, err := io.ReadAll(io.LimitReader(r.Body, h.op.MaxBodyBytes))
	timeout, failed := errors.AsType[net.Error](err)
	switch {
	case int64(len(data)) == h.op.MaxBodyBytes:
		invalid.set(http.StatusRequestEntityTooLarge, fmt.Sprintf("request body is too large limit=%d bytes", h.op.MaxBodyBytes))
	case failed && timeout.Timeout():
		invalid.set(http.StatusRequestTimeout, "request body read timeout")
	case err != nil:
		invalid.set(http.StatusInternalServerError, "cannot read request body")
		invalid.add("", unreadable)
	case len(data) > 0 && h.op.RequestBody.Content[jsonType] == nil:
		body.SetBytes(data)
	case len(data) > 0:
		h.readJSON(r.Header.Get("Content-Type"), data, body, invalid)
	case h.op.RequestBody.Required:
		invalid.set(http.StatusBadRequest, "request body is required")
	}
}

// readJSON validates data against the operation's schema and decodes it. Field names that occur twice are an error,
// since readers disagree on which one counts.
func (h *handler) readJSON(contentType string, data []byte, body reflect.Value, invalid *invalidInput) {
	var v any
	if kind, _, _ := strings.Cut(contentType, ";"); kind != "" && kind != jsonType && !strings.HasSuffix(kind, "+json") {
		invalid.status = http.StatusUnsupportedMediaType
	} else if json.Unmarshal(data, &v) != nil {
		invalid.status = http.StatusBadRequest
	}
	if invalid.status != http.StatusUnprocessableEntity {
		invalid.add("body", unreadable)
		return
	}
	result := &huma.ValidateResult{}
	path := huma.NewPathBuffer([]byte("body"), 4)
	huma.Validate(h.doc.Components.Schemas, h.op.RequestBody.Content[jsonType].Schema, path, huma.ModeWriteToServer, v, result)
	if invalid.errors = result.Errors; invalid.errors != nil {
		return
	}
	if repeats(data) {
		invalid.add("body", "expected no member twice in an object")
	} else if err := json.Unmarshal(data, body.Addr().Interface()); err != nil {
		invalid.add("body", err.Error())
	}
}

// respond sends an output; one that is nil is the status alone.
func respond(w http.ResponseWriter, status int, out reflect.Value) {
	if !out.IsValid() {
		w.WriteHeader(status)
		return
	}
	for i := range out.NumField() {
		if name := out.Type().Field(i).Tag.Get("header"); name != "" && !out.Field(i).IsZero() {
			w.Header().Set(name, out.Field(i).String())
		}
	}
	switch body := out.FieldByName("Body").Interface().(type) {
	case []byte:
		w.WriteHeader(status)
		w.Write(body)
	default:
		writeJSON(w, status, jsonType, body)
	}
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(v)
}

// repeats reports whether an object in a JSON text has two members of one name:
// readers differ in which of them counts (RFC 8259, section 4).
func repeats(text []byte) bool {
	type level struct {
		names map[string]bool // of an object
		named bool            // its next value has its name
	}
	levels := []level{{}}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		t, err := d.Token()
		if err != nil {
			return false
		}
		at := &levels[len(levels)-1]
		name, isText := t.(string)
		if isText && at.names != nil && !at.named {
			if at.names[name] {
				return true
			}
			at.names[name], at.named = true, true
			continue
		}
		at.named = false
		switch t {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
}
