package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A problem is an error as callers get it (RFC 9457). It holds nothing of what they sent.
type problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail,omitempty"`
	Code   string       `json:"code,omitempty"` // of a 429
	Errors []inputFault `json:"errors,omitempty"`
	header http.Header  // to send along
	err    error        // that it was made of; for the log
}

type inputFault struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
}

const problemType = "application/problem+json"

// problemStatuses are the statuses of problems that every operation may return.
var problemStatuses = [...]int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict,
	http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// statusOf returns the HTTP status of an error for a caller of the API. For a provider's callback provider.StatusOf
// decides, and differently where a provider expects it.
func statusOf(err error) int {
	if _, ok := errors.AsType[*control.RateLimitError](err); ok {
		return http.StatusTooManyRequests
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// errMethod is the error of a method that a path does not have.
var errMethod = errors.New("method not allowed")

// statuses lists the errors with a status of their own. The first that an error wraps counts.
var statuses = [...]struct {
	err    error
	status int
}{
	{storage.ErrInvalid, http.StatusUnprocessableEntity},
	{control.ErrLimit, http.StatusConflict}, // of counts
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
	{storage.ErrNotFound, http.StatusNotFound},
	{errMethod, http.StatusMethodNotAllowed},
	{control.ErrUnauthorized, http.StatusUnauthorized},
	{control.ErrForbidden, http.StatusForbidden},
	{storage.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{gateway.ErrUnreadable, http.StatusBadRequest},
	{control.ErrUnreadable, http.StatusBadRequest},
	{storage.ErrConflict, http.StatusConflict},
	{storage.ErrUnavailable, http.StatusServiceUnavailable},
}

// problemOf returns err as its caller may read it.
func problemOf(err error) *problem {
	p := &problem{Type: "about:blank", Status: statusOf(err), header: http.Header{}, err: err}
	p.Title = http.StatusText(p.Status)
	switch p.Status {
	case http.StatusUnauthorized:
		p.Detail = control.ErrUnauthorized.Error()
		p.header.Set("WWW-Authenticate", "Bearer")
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusForbidden, http.StatusConflict:
		p.Detail = cut(err.Error(), maxDetail)
		if _, ok := errors.AsType[*storage.ConflictError](err); ok {
			p.Detail = "conflict: another call changed it meanwhile; read it again"
		}
	case http.StatusTooManyRequests:
		p.Detail = err.Error()
		if tooOften, ok := errors.AsType[*control.RateLimitError](err); ok {
			p.Code = tooOften.Code
			p.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(tooOften.RetryAfter.Seconds()))))
		}
	case http.StatusServiceUnavailable:
		p.Detail = storage.ErrUnavailable.Error()
		p.header.Set("Retry-After", "5")
	case http.StatusInternalServerError:
		p.Detail = "something went wrong here; it has been logged"
	default:
		for _, s := range statuses {
			if s.status == p.Status {
				p.Detail = s.err.Error() // not found, too large: nothing of the request
			}
		}
	}
	return p
}

// writeError writes err as a problem that holds nothing which the caller may not read, and stores the reason for the
// log.
func (s *server) writeError(ctx context.Context, w http.ResponseWriter, err error) {
	p := problemOf(err)
	callOf(ctx).why = p.why()
	p.write(w)
}

// why returns what the log says of p. What was not found is not named: the name is the caller's.
func (p *problem) why() string {
	if p.Status == http.StatusNotFound {
		return p.Detail
	}
	return p.err.Error()
}

func (p *problem) write(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	writeJSON(w, p.Status, problemType, p)
}

// writeInvalid writes the problem of a request with invalid input. Of Huma's errors it passes on what does not repeat
// the request: known messages, and known field names in locations.
func (s *server) writeInvalid(c *call, w http.ResponseWriter, op *huma.Operation, invalid *invalidInput) {
	more := max(len(invalid.errors)-maxFaults, 0)
	p := &problem{Type: "about:blank", Title: http.StatusText(invalid.status), Status: invalid.status, Detail: invalid.detail}
	for _, err := range invalid.errors[:len(invalid.errors)-more] {
		e := err.(*huma.ErrorDetail)
		at := inputFault{knownMessage(e.Message), knownPath(e.Location, s.names)}
		if at.Message == unreadable && e.Location == "body" {
			at.Message += wantedBody[p.Status]
		}
		if wanted := s.propertiesAt(op, e.Location); at.Message == unexpected && len(wanted) > 0 {
			at.Message += ": want " + strings.Join(wanted, ", ")
		}
		p.Errors = append(p.Errors, at)
	}
	if more > 0 {
		p.Errors = append(p.Errors, inputFault{Message: fmt.Sprintf("and %d more", more)})
	}
	why := p.Detail
	for _, e := range p.Errors {
		why += "; " + e.Location + ": " + e.Message
	}
	c.why = why
	p.write(w)
}

// Limits of a problem.
const (
	maxFaults = 20
	maxDepth  = 10      // parts of a location
	maxDetail = 4 << 10 // bytes
	maxWhy    = 512     // bytes of a line of the log
)

// cut returns at most most bytes of text, without control characters.
func cut(text string, most int) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), most)], ""))
}

// unreadable replaces every message that may quote the request.
const unreadable = "cannot be read"

// wantedBody says what body is wanted, by the status of a problem with the whole body.
var wantedBody = map[int]string{
	http.StatusUnsupportedMediaType: ": want Content-Type application/json",
	http.StatusBadRequest:           ": want JSON",
}

// unexpected is Huma's message for a field that an object does not have.
const unexpected = "unexpected property"

// propertiesAt returns the sorted field names of the object that location points into, or none if op's schema has no
// such object.
func (s *server) propertiesAt(op *huma.Operation, location string) []string {
	if op.RequestBody == nil || op.RequestBody.Content[jsonType] == nil {
		return nil
	}
	schema := s.resolved(op.RequestBody.Content[jsonType].Schema)
	parts := strings.SplitN(location, ".", maxDepth)
	for _, part := range parts[min(1, len(parts)-1) : len(parts)-1] { // between "body" and the field
		if schema != nil {
			schema = s.resolved(schema.Properties[part])
		}
	}
	if schema == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(schema.Properties))
}

func (s *server) resolved(schema *huma.Schema) *huma.Schema {
	if schema != nil && schema.Ref != "" {
		return s.doc.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

// knownPath returns a location with the parts that are not ours as …: they are names that the caller chose.
func knownPath(location string, names map[string]bool) string {
	parts := strings.SplitN(location, ".", maxDepth)
	for i, part := range parts {
		name, index, _ := strings.Cut(part, "[")
		number := strings.TrimSuffix(index, "]")
		if _, err := strconv.Atoi(cmp.Or(number, "0")); err != nil || !names[name] {
			parts[i] = "…"
		}
	}
	return strings.Join(parts, ".")
}

// knownMessage returns a message that is made of the API's own description, and a general one for all others.
// What follows a colon may be a parser's error, which quotes its input.
func knownMessage(message string) string {
	message, _, _ = strings.Cut(message, ": ")
	if strings.HasPrefix(message, "invalid date/time") {
		return "invalid date/time: want one such as 2026-03-01T09:15:02Z"
	}
	for _, start := range [...]string{"expected ", unexpected, "unknown query parameter", "required ", "invalid integer", "invalid boolean", "invalid float"} {
		if strings.HasPrefix(message, start) {
			return message
		}
	}
	return unreadable
}
