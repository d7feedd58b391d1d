package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// ackTimeout bounds the response to a provider; Tencent waits for 2 s.
const ackTimeout = 1500 * time.Millisecond

// Ingest takes one callback and returns the reply to its provider: success only after all its events are in the
// events queue. It logs one line, of the callback's content only the size.
func (in *ingester) Ingest(ctx context.Context, providerName, source, key string, cb *provider.Callback) provider.Reply {
	start := in.Clock()
	p := in.Providers[providerName]
	if p == nil {
		in.RefusedUnread(http.StatusNotFound)
		return provider.ReplyFor(provider.ErrNotFound)
	}
	taken, err := in.ingest(ctx, p, providerName, source, key, cb)
	if _, err := ident.SourceNumber(source); err != nil {
		source = "" // it may be anything, even a key
	}
	if err = asRefusal(err); err != nil {
		in.count(RefusedCallbacks, 1)
		in.Log.Warn("callback", "provider", providerName, "source", source, "outcome", "refused",
			"why", err.Error(), "status", provider.StatusOf(err), "bytes", len(cb.Body), "took", in.Clock().Sub(start))
		return p.Reply(err)
	}
	in.count(Callbacks, 1)
	in.Log.Debug("callback", "provider", providerName, "source", source, "outcome", "taken",
		"events", taken, "bytes", len(cb.Body), "took", in.Clock().Sub(start))
	return p.Reply(nil)
}

// RefusedUnread logs and counts a request that failed before its source was known.
func (in *ingester) RefusedUnread(status int) {
	in.count(RefusedCallbacks, 1)
	in.Log.Warn("callback", "provider", "", "source", "", "outcome", "refused", "why", http.StatusText(status), "status", status)
}

// ingest returns the number of events it queued. It reads the body after all checks that do not need it, in the
// caller's time.
func (in *ingester) ingest(ctx context.Context, p provider.Provider, providerName, source, key string, cb *provider.Callback) (int, error) {
	begun := time.Now()
	a, err := in.account(ctx, providerName, source, key, sourceTTL)
	left := ackTimeout - time.Since(begun)
	if err != nil {
		return 0, err
	}
	if cb.Method != http.MethodPost {
		return 0, provider.ErrMethod
	}
	via, err := in.via(cb.Header.Values(ViaHeader))
	if err != nil {
		return 0, err
	}
	if cb.Read != nil {
		if cb.Body, err = cb.Read(); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if a, err = in.authenticate(ctx, p, a, providerName, source, key, cb); err != nil {
		return 0, err
	}
	if len(cb.Body) > provider.MaxCallbackBytes {
		return 0, fmt.Errorf("callback: %w: want at most %d bytes", storage.ErrTooLarge, provider.MaxCallbackBytes)
	}
	if coding := strings.Join(cb.Header.Values("Content-Encoding"), ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return 0, provider.ErrCoding // no provider compresses
	}
	reading, err := p.Parse(cb)
	if err != nil {
		return 0, err
	}
	as, err := inboundEvents(a, reading, cb.Received, via)
	if err != nil {
		return 0, err
	}
	return len(as), in.enqueue(ctx, as)
}

// Limits on the gateways in a via header.
const (
	maxVia      = 5
	maxViaBytes = 64 // of one name
)

// via returns the gateways named in the header's lines. A callback that came through this gateway, or through more
// than maxVia, is a loop. Invalid names are ignored.
func (in *ingester) via(lines []string) ([]string, error) {
	var out []string
	for entry := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		id, _, _ := strings.Cut(entry, ";") // parameters follow
		if id = strings.Trim(id, " \t"); id == "" || len(id) > maxViaBytes || strings.ContainsFunc(id, invalidInVia) {
			continue
		}
		if out = append(out, id); id == in.ID() || len(out) > maxVia {
			return nil, provider.ErrLoop
		}
	}
	return out, nil
}

func invalidInVia(r rune) bool { return r <= ' ' || r > '~' }

// authenticate verifies cb and returns its account. A refusal is never based on an account older than refusalTTL:
// it is read again first, since otherwise a rotated token would lose the events of providers that do not retry.
func (in *ingester) authenticate(ctx context.Context, p provider.Provider, a account, provider, source, key string, cb *provider.Callback) (account, error) {
	err := p.Verify(cb, a.credentials)
	if err == nil || time.Since(a.readAt) < refusalTTL {
		return a, err
	}
	if a, err = in.account(ctx, provider, source, key, refusalTTL); err == nil {
		err = p.Verify(cb, a.credentials)
	}
	return a, err
}

// inboundEvents turns a provider's items into events with ids. Items of one id in a callback are one event.
func inboundEvents(a account, reading provider.Reading, received time.Time, via []string) ([]message.InboundEvent, error) {
	token := storage.NewRev()
	received = storage.UTC(received)
	out := make([]message.InboundEvent, 0, len(reading.Items))
	var seen map[string]bool
	if len(reading.Items) > 1 {
		seen = make(map[string]bool, len(reading.Items))
	}
	for _, it := range reading.Items {
		if slices.ContainsFunc(a.IgnoreEventTypes, func(p string) bool { return MatchesType(p, it.Type) }) {
			continue
		}
		id, repeatable, err := newEventID(a.Source.ID, a.label, it, received)
		if err != nil {
			return nil, err
		}
		if seen[id] {
			continue
		}
		if seen != nil {
			seen[id] = true
		}
		if a.label != "" {
			if it.Keys == nil {
				it.Keys = map[string][]string{}
			}
			it.Keys["label"] = []string{a.label}
		}
		out = append(out, message.InboundEvent{Token: token, UniqueForever: repeatable && it.UniqueForever, NoNaturalKey: !repeatable, Event: provider.Event{
			ID: id, Source: a.Source.ID, Provider: a.Provider, Label: a.label, Type: it.Type, Received: received,
			Time: utcOrZero(it.Time), Keys: it.Keys, ContentType: reading.ContentType, Query: reading.Query,
			Payload: it.Payload, Via: via, Unreadable: it.Unreadable,
		}})
	}
	return out, nil
}

// newEventID returns an item's event id, and whether a repeat of the item gets the same one. That takes a natural key
// and a time that a repeat does not change (StableTime), or a key that is unique forever; otherwise the id is random,
// since equal bytes are not the same fact. A provider's time over an hour ahead or a week back is not used.
func newEventID(source, label string, it provider.Item, received time.Time) (id string, repeatable bool, err error) {
	switch {
	case it.NaturalKey != "" && plausibleTime(it.StableTime, received):
		id, err = ident.Event(source, label, it.StableTime, it.Type, it.NaturalKey)
	case it.NaturalKey != "" && it.UniqueForever:
		id, err = ident.Event(source, label, received, it.Type, it.NaturalKey)
	default:
		id, err = ident.Event(source, label, received, storage.NewRev(), storage.NewRev())
		return id, false, err
	}
	return id, true, err
}

func plausibleTime(t, received time.Time) bool {
	return !t.IsZero() && t.Before(received.Add(time.Hour)) && t.After(received.Add(-7*24*time.Hour))
}
