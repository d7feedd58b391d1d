package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A judge sends requests to one provider's handler, and compares what comes of
// them with what they hold. It belongs to one goroutine.
type judge struct {
	name    string
	p       provider.Provider
	handler http.Handler
	answers map[string]bool // bodies that the provider's answers may have
	reader  *bufio.Reader
	tally
	kept []keptEvent
}

// A keptEvent must lie in the embedded backend when the run has ended.
type keptEvent struct {
	id  string
	sum [sha256.Size]byte // of the payload
}

// An outcome is what the handler made of a request.
type outcome struct {
	status   int
	body     []byte
	messages []storage.Message
	panicked string
}

// errNotHTTP says that net/http itself refuses a request: no handler sees it.
var errNotHTTP = errors.New("not HTTP")

func newJudge(name string, w *world) *judge {
	j := &judge{name: name, p: w.g.Providers[name], handler: w.handlers[name], answers: map[string]bool{}, reader: bufio.NewReader(nil)}
	for _, err := range []error{
		nil, provider.ErrNotFound, provider.ErrMethod, provider.ErrSignature, provider.ErrUnauthorized, provider.ErrForbidden, provider.ErrTooLarge, provider.ErrUnreadable, provider.ErrCoding,
	} {
		j.answers[string(j.p.Reply(err).Body)] = true
	}
	j.answers[""] = true // the body broke off: nobody may read the answer
	return j
}

// judge sends one request and returns what is wrong with what came of it. With
// keep its events go on to the embedded backend.
func (j *judge) judge(ctx context.Context, raw []byte, keep bool) error {
	j.requests++
	got, cb, err := j.send(ctx, raw, keep)
	if err != nil {
		j.notHTTP++
		return nil
	}
	switch {
	case got.panicked != "":
		j.panics++
		return errors.New("panic: " + got.panicked)
	case got.status >= 500:
		j.failures++
		return fmt.Errorf("status %d", got.status)
	case !j.answers[string(got.body)]:
		return fmt.Errorf("status %d with the answer %q, which is none of the provider's", got.status, got.body)
	case got.status != http.StatusOK:
		j.refused[got.status]++
		if len(got.messages) > 0 {
			return fmt.Errorf("status %d, and yet %d messages were sent", got.status, len(got.messages))
		}
		return nil
	}
	j.accepted++
	events, err := j.events(got.messages, cb)
	if err != nil {
		return err
	}
	if keep {
		j.keepAll(events)
	}
	return j.replay(ctx, raw, events)
}

// send calls the handler with a request that net/http reads from raw. The error
// is errNotHTTP.
func (j *judge) send(ctx context.Context, raw []byte, keep bool) (out outcome, cb provider.Callback, err error) {
	j.reader.Reset(bytes.NewReader(raw))
	r, err := http.ReadRequest(j.reader)
	if err != nil {
		return out, cb, errNotHTTP
	}
	r.RemoteAddr = "192.0.2.1:4711"
	body := &copied{from: r.Body}
	r.Body = body
	sent := &sending{keep: keep}
	w := &answer{header: http.Header{}}
	func() {
		defer func() {
			if p := recover(); p != nil {
				out.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		j.handler.ServeHTTP(w, r.WithContext(context.WithValue(ctx, sendingKey{}, sent)))
	}()
	out.status, out.body, out.messages = w.status, w.body, sent.messages
	return out, provider.Callback{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body.bytes}, nil
}

// events returns what the messages carry, once it is known that this is what
// the callback holds: each part that encoding/json finds in the body is an
// item, byte for byte, and each item that is no repeat of another is an event.
func (j *judge) events(ms []storage.Message, cb provider.Callback) ([]provider.Event, error) {
	reading, err := j.p.Parse(&cb)
	if err != nil {
		return nil, fmt.Errorf("accepted, but Parse: %w", err)
	}
	if err := wantParts(j.name, cb.Body, reading); err != nil {
		return nil, err
	}
	var events []provider.Event
	for _, m := range ms {
		_, as, err := message.Read(m.Body)
		if err != nil {
			return nil, err
		}
		for _, a := range as {
			events = append(events, a.Event)
		}
	}
	items := distinct(reading.Items)
	if len(items) != len(events) {
		return nil, fmt.Errorf("%d events in the messages, want %d", len(events), len(items))
	}
	for i, it := range items {
		e := events[i]
		if !bytes.Equal(e.Payload, it.Payload) {
			return nil, fmt.Errorf("event %d: its payload came out of the message as %.100q, want %.100q", i, e.Payload, it.Payload)
		}
		if e.Type != it.Type || e.ContentType != reading.ContentType || e.Query != reading.Query || e.Unreadable != it.Unreadable {
			return nil, fmt.Errorf("event %d came out of the message as %q of %q?%q, want %q of %q?%q",
				i, e.Type, e.ContentType, e.Query, it.Type, reading.ContentType, reading.Query)
		}
		if !e.Time.Equal(it.Time.Truncate(time.Millisecond)) || !sameKeys(e.Keys, it.Keys) {
			return nil, fmt.Errorf("event %d came out of the message at %v with the keys %.400q, want %v and %.400q", i, e.Time, e.Keys, it.Time, it.Keys)
		}
		j.arrived++
		j.bytes += len(e.Payload)
	}
	return events, nil
}

// sameKeys reports whether an event's routing keys are those of its item and
// the label of its callback's key.
func sameKeys(event, item map[string][]string) bool {
	for kind, values := range item {
		if !slices.Equal(event[kind], values) {
			return false
		}
	}
	return len(event) == len(item)+1 && slices.Equal(event["label"], []string{label})
}

// distinct leaves out the items that repeat another of the same callback.
func distinct(items []provider.Item) []provider.Item {
	if len(items) < 2 {
		return items
	}
	seen := map[string]bool{}
	out := make([]provider.Item, 0, len(items))
	for _, it := range items {
		key := it.Type + "\x00" + it.NaturalKey
		if !repeatable(it) || !seen[key] {
			out = append(out, it)
		}
		seen[key] = true
	}
	return out
}

// repeatable reports whether a repeat of it is recognised: it has a natural key
// and a time, of the last week, that belongs to it.
func repeatable(it provider.Item) bool {
	age := time.Since(it.StableTime)
	return it.NaturalKey != "" && age > -time.Hour && age < 7*24*time.Hour
}

// replay sends an accepted request again: an event that can be recognised must
// come out under its id, so that the worker knows it for a repeat, and every
// other one under an id of its own.
func (j *judge) replay(ctx context.Context, raw []byte, first []provider.Event) error {
	again, cb, err := j.send(ctx, raw, false)
	if err != nil || again.status != http.StatusOK {
		return fmt.Errorf("sent again: status %d, %v, want 200", again.status, err)
	}
	reading, err := j.p.Parse(&cb)
	if err != nil {
		return err
	}
	var events []provider.Event
	for _, m := range again.messages {
		_, as, err := message.Read(m.Body)
		if err != nil {
			return err
		}
		for _, a := range as {
			events = append(events, a.Event)
		}
	}
	items := distinct(reading.Items)
	if len(events) != len(first) || len(items) != len(first) {
		return fmt.Errorf("sent again: %d events of %d items, want %d", len(events), len(items), len(first))
	}
	for i, it := range items {
		switch same := events[i].ID == first[i].ID; {
		case same && (!repeatable(it) || j.name == "smartbots"):
			return errors.New("sent again: the same id, though people say the same twice")
		case !same && repeatable(it):
			return errors.New("sent again: other event ids")
		}
	}
	j.recognised++
	return nil
}

func (j *judge) keepAll(events []provider.Event) {
	for _, e := range events {
		j.kept = append(j.kept, keptEvent{e.ID, sha256.Sum256(e.Payload)})
	}
}

// wantParts compares the items of a reading with the parts of the body that
// encoding/json finds.
func wantParts(provider string, body []byte, r provider.Reading) error {
	whole := [][]byte{body}
	switch provider {
	case "direct":
		whole = elementsOf(trim(body))
	case "tencent-chat":
		var object map[string]json.RawMessage
		if err := json.Unmarshal(trim(body), &object); err != nil {
			return fmt.Errorf("accepted, but encoding/json: %w", err)
		}
		if len(object) == 0 {
			whole = nil
		}
		if events := elementsOf(object["Events"]); events != nil && matches(events, r.Items) {
			return nil
		}
	}
	if !matches(whole, r.Items) {
		return fmt.Errorf("%d items, which are not the %d parts of the body", len(r.Items), len(whole))
	}
	return nil
}

// elementsOf returns the elements of an array, or what is no array alone.
func elementsOf(b []byte) [][]byte {
	if len(b) == 0 || b[0] != '[' {
		return [][]byte{b}
	}
	var elements []json.RawMessage
	if json.Unmarshal(b, &elements) != nil {
		return nil
	}
	out := make([][]byte, len(elements))
	for i, e := range elements {
		out[i] = e
	}
	return out
}

func matches(parts [][]byte, items []provider.Item) bool {
	left := 0 // parts that a last item says could not be read either
	if n := len(items) - 1; n >= provider.MaxUnreadable && items[n].Unreadable {
		if _, err := fmt.Sscanf(string(items[n].Payload), "%d more items could not be read", &left); err == nil {
			items = items[:n]
		}
	}
	for _, part := range parts {
		if len(items) > 0 && isPart(part, items[0]) {
			items = items[1:]
		} else {
			left--
		}
	}
	return len(items) == 0 && left == 0
}

func isPart(part []byte, it provider.Item) bool {
	if it.Unreadable {
		part = part[:min(len(part), provider.MaxUnreadableBytes)]
	}
	return bytes.Equal(part, it.Payload)
}

// trim takes off what may stand around JSON (RFC 8259, sections 2 and 8.1).
func trim(b []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(b, []byte("\uFEFF")), " \t\r\n")
}
