// Package message packs what queues carry: work for a worker, and events with their payloads, many in one message.
package message

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// ErrUnreadable marks a message that no release can ever read.
var ErrUnreadable = errors.New("unreadable")

// Events of one callback share messages up to these sizes: a callback of a thousand items takes one SendMessageBatch,
// and a message is one billed request (SQS bills each 64 KB).
const (
	maxPackedEvents = 100
	maxPackedBytes  = 60 << 10
	maxUnpacked     = 2 << 20 // of a message's inflated payloads
)

// A Kind says what a worker has to do.
type Kind string

const (
	Events Kind = "events" // claim and fan out
	Chunk  Kind = "chunk"  // deliver one chunk of a long fan-out
	Retry  Kind = "retry"  // attempt one delivery
	Job    Kind = "job"    // run a chunk of a job
	Lane   Kind = "lane"   // work on a lane
	Probe  Kind = "probe"  // probe a circuit, or wake what is parked behind it
)

// A Header is the first line of a message. The payloads of its events follow. Example:
// {"v":1,"k":"events","s":"src-…","p":"direct","at":1700000000000,"plain":true,"e":[{"id":"evt_…","y":"sent","n":2}]}
type Header struct {
	V    int  `json:"v"` // RowFormat
	Kind Kind `json:"k"`

	// Of events and chunk.
	Token       string        `json:"t,omitempty"` // of the callback: equal tokens mean equal messages, whatever their queue ids; of a lane: the worker that owns it
	Source      string        `json:"s,omitempty"`
	Provider    string        `json:"p,omitempty"`
	Label       string        `json:"l,omitempty"`
	Received    int64         `json:"at,omitempty"` // Unix ms
	ContentType string        `json:"ct,omitempty"`
	Query       string        `json:"q,omitempty"`
	Via         string        `json:"via,omitempty"` // separated by spaces
	Recipient   string        `json:"only,omitempty"`
	Tenant      string        `json:"tenant,omitempty"`
	Repeated    bool          `json:"again,omitempty"` // was in a message before
	Plain       bool          `json:"plain,omitempty"` // payloads are verbatim; otherwise deflated, then base64
	Events      []packedEvent `json:"e,omitempty"`
	Event       string        `json:"event,omitempty"` // of chunk
	Chunk       int           `json:"chunk,omitempty"`

	// Of retry, job, lane and probe.
	ID        string `json:"id,omitempty"`
	Claim     int    `json:"c,omitempty"`
	SelfSends int    `json:"h,omitempty"` // how often the worker has sent it to itself
}

// A packedEvent is one event of a message.
type packedEvent struct {
	ID            string              `json:"id"`
	Type          string              `json:"y"`
	Time          int64               `json:"at,omitempty"` // Unix ms
	Keys          map[string][]string `json:"k,omitempty"`
	UniqueForever bool                `json:"f,omitempty"` // the natural key has no time and is never used again
	NoNaturalKey  bool                `json:"q,omitempty"` // there is no natural key
	Unreadable    bool                `json:"u,omitempty"`
	Bytes         int                 `json:"n"` // of its payload
}

// An InboundEvent is an event on its way from ingest to the worker.
type InboundEvent struct {
	provider.Event
	Token         string // as in Header
	UniqueForever bool   // the natural key has no time and is never used again
	NoNaturalKey  bool   // there is no natural key to find duplicates by
	Repeated      bool   // a worker may have claimed it before
}

// Pack returns the messages that carry events, which share source, label, content type, query and token.
func Pack(events []InboundEvent, group string) ([]storage.Message, error) {
	var out []storage.Message
	for len(events) > 0 {
		n, size := 0, 0
		for n < len(events) && n < maxPackedEvents {
			size += len(events[n].Payload) + len(events[n].ID) + len(events[n].Type) + 120 // 120: its entry in the header, about
			if n > 0 && size > maxPackedBytes {
				break
			}
			n++
		}
		body, err := PackOne(events[:n])
		if err != nil {
			return nil, err
		}
		out = append(out, storage.Message{Body: body, Group: group})
		events = events[n:]
	}
	return out, nil
}

// PackOne returns the body of one message that carries all of events.
func PackOne(events []InboundEvent) (string, error) {
	first := events[0]
	h := Header{
		V: storage.RowFormat, Kind: Events, Token: first.Token, Source: first.Source, Provider: first.Provider,
		Label: first.Label, Received: first.Received.UnixMilli(), ContentType: first.ContentType,
		Query: first.Query, Via: strings.Join(first.Via, " "), Recipient: first.Recipient, Tenant: first.Tenant, Repeated: first.Repeated, Plain: true, Events: make([]packedEvent, len(events)),
	}
	size := 0
	for i, a := range events {
		h.Events[i] = packedEvent{
			ID: a.ID, Type: a.Type, Keys: a.Keys, UniqueForever: a.UniqueForever, NoNaturalKey: a.NoNaturalKey, Unreadable: a.Unreadable, Bytes: len(a.Payload),
		}
		if !a.Time.IsZero() {
			h.Events[i].Time = a.Time.UnixMilli()
		}
		h.Plain = h.Plain && fitsSQS(a.Payload)
		size += len(a.Payload)
	}
	line, err := h.encode()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(len(line) + 1 + size)
	b.Write(line)
	b.WriteByte('\n')
	if h.Plain {
		for _, a := range events {
			b.Write(a.Payload)
		}
	} else if err := deflateInto(&b, events); err != nil {
		return "", err
	}
	if b.Len() > storage.MaxMessageBytes {
		return "", fmt.Errorf("message of %d bytes: %w: want at most %d", b.Len(), storage.ErrTooLarge, storage.MaxMessageBytes)
	}
	return b.String(), nil
}

// deflaters are pooled: a new one takes 1.2 MB, and a sender of binary payloads would need one for each callback.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for invalid levels alone
	return w
}}

func deflateInto(b *strings.Builder, events []InboundEvent) error {
	text := base64.NewEncoder(base64.StdEncoding, b)
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(text)
	for _, a := range events {
		w.Write(a.Payload) // a strings.Builder never fails
	}
	w.Close()
	return text.Close()
}

// fitsSQS reports whether SQS carries b verbatim: UTF-8 of the characters that XML 1.0 allows.
func fitsSQS(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return utf8.Valid(b) && !bytes.Contains(b, []byte("\ufffe")) && !bytes.Contains(b, []byte("\uffff"))
}

// Read reads any message. Its error wraps ErrUnreadable: the message belongs in the dead-letter queue.
func Read(body string) (Header, []InboundEvent, error) {
	line, rest, _ := strings.Cut(body, "\n")
	var h Header
	if err := json.Unmarshal([]byte(line), &h); err != nil {
		return h, nil, fmt.Errorf("message header: %w", ErrUnreadable)
	}
	if h.V < 1 || h.V > storage.RowFormat {
		return h, nil, fmt.Errorf("message of format %d: %w: this release reads up to %d", h.V, ErrUnreadable, storage.RowFormat)
	}
	if h.Kind != Events {
		return h, nil, nil
	}
	payload, err := h.payload(rest)
	if err != nil {
		return h, nil, err
	}
	var via []string
	if h.Via != "" {
		via = strings.Fields(h.Via)
	}
	events := make([]InboundEvent, len(h.Events))
	for i, p := range h.Events {
		if p.Bytes < 0 || p.Bytes > len(payload) {
			return h, nil, fmt.Errorf("message of %d events: %w: it ends early", len(h.Events), ErrUnreadable)
		}
		events[i] = InboundEvent{Token: h.Token, UniqueForever: p.UniqueForever, NoNaturalKey: p.NoNaturalKey, Repeated: h.Repeated, Event: provider.Event{
			ID: p.ID, Source: h.Source, Provider: h.Provider, Label: h.Label, Type: p.Type,
			Received: time.UnixMilli(h.Received).UTC(), Keys: p.Keys, ContentType: h.ContentType, Query: h.Query,
			Payload: payload[:p.Bytes:p.Bytes], Unreadable: p.Unreadable, Via: via, Recipient: h.Recipient, Tenant: h.Tenant,
		}}
		if p.Time != 0 {
			events[i].Time = time.UnixMilli(p.Time).UTC()
		}
		payload = payload[p.Bytes:]
	}
	return h, events, nil
}

func (h Header) payload(rest string) ([]byte, error) {
	if h.Plain {
		return []byte(rest), nil
	}
	r := flate.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(rest)))
	b, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("message payload: %w", ErrUnreadable)
	}
	return b, nil
}

// Pack returns the body of a message without payload.
func (h Header) Pack() (string, error) {
	h.V = storage.RowFormat
	b, err := h.encode()
	return string(b), err
}

// encode returns h as a line of JSON that SQS carries: encoding/json escapes
// control characters, and here the two others that XML 1.0 does not allow are.
func (h Header) encode() ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if !fitsSQS(b) {
		b = bytes.ReplaceAll(b, []byte("\ufffe"), []byte(`\ufffe`))
		b = bytes.ReplaceAll(b, []byte("\uffff"), []byte(`\uffff`))
	}
	return b, nil
}
