package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Time limits of an answer to a provider.
const (
	ackTime   = 1500 * time.Millisecond // the whole; Tencent waits for 2 s
	sendAgain = 500 * time.Millisecond  // kept for the answer: no resend of failed entries begins later
)

// ViaHeader names the gateway that sent a delivery. Ingest refuses its own.
const ViaHeader = "Ringback-Via"

// Ingest takes one callback in and returns what its provider is told. Success
// is told only after every event is in the events queue. It logs one line, in
// which there is nothing of the callback but sizes.
func (g *Gateway) Ingest(ctx context.Context, provider, source, key string, cb *Callback) Reply {
	start := g.now()
	ctx, cancel := context.WithTimeout(ctx, ackTime)
	defer cancel()
	p := g.Providers[provider]
	taken, err := g.ingest(ctx, p, provider, source, key, cb)
	if _, err := sourceNumber(source); err != nil {
		source = "" // it may be anything, a key in the wrong place too
	}
	if err != nil {
		g.count(RefusedCallbacks, 1)
		g.Log.Warn("callback", "provider", provider, "source", source, "outcome", "refused",
			"why", err.Error(), "status", StatusOf(err), "bytes", len(cb.Body), "took", g.now().Sub(start))
		return p.Reply(err)
	}
	g.count(Callbacks, 1)
	g.Log.Debug("callback", "provider", provider, "source", source, "outcome", "taken",
		"events", taken, "bytes", len(cb.Body), "took", g.now().Sub(start))
	return p.Reply(nil)
}

// ingest returns how many events it queued.
func (g *Gateway) ingest(ctx context.Context, p Provider, provider, source, key string, cb *Callback) (int, error) {
	switch {
	case cb.Method != http.MethodPost:
		return 0, ErrMethod
	case cb.Header.Get(ViaHeader) != "" && cb.Header.Get(ViaHeader) == g.ID():
		return 0, ErrLoop
	}
	a, err := g.proven(ctx, p, provider, source, key, cb)
	if err != nil {
		return 0, err
	}
	if len(cb.Body) > MaxCallbackBytes {
		return 0, fmt.Errorf("callback: %w: want at most %d bytes", ErrTooLarge, MaxCallbackBytes)
	}
	reading, err := p.Parse(cb)
	if err != nil {
		return 0, err
	}
	as, err := arrivals(a, reading, cb.Received)
	if err != nil {
		return 0, err
	}
	return len(as), g.enqueue(ctx, as)
}

// proven returns the account that cb comes from. What was remembered too long
// ago to refuse is read again, once, and judged again: else a rotated
// credential would lose events of providers that do not repeat.
func (g *Gateway) proven(ctx context.Context, p Provider, provider, source, key string, cb *Callback) (account, error) {
	var a account
	var err error
	for _, age := range [...]time.Duration{sourceFresh, sourceRefuse} {
		if a, err = g.account(ctx, provider, source, key, age); err != nil {
			return account{}, err
		}
		if err = p.Verify(cb, a.credentials); err == nil {
			return a, nil
		}
		if g.now().Sub(a.at) < sourceRefuse {
			break
		}
	}
	return account{}, err
}

// arrivals turns what the provider read into events with ids. Items with the
// same id, an exact repeat within the callback, become one.
func arrivals(a account, reading Reading, received time.Time) ([]arrival, error) {
	token := NewRev()
	received = utc(received)
	out := make([]arrival, 0, len(reading.Items))
	var seen map[string]bool
	if len(reading.Items) > 1 {
		seen = make(map[string]bool, len(reading.Items))
	}
	for _, it := range reading.Items {
		if wantsTypeOf(a.IgnoreEventTypes, it.Type) {
			continue
		}
		id, windowed, err := identify(a.Source.ID, a.label, it, received)
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
		out = append(out, arrival{token: token, windowed: windowed, unique: it.NaturalKey == "", Event: Event{
			ID: id, Source: a.Source.ID, Provider: a.Provider, Label: a.label, Type: it.Type, Received: received,
			Time: utcOrZero(it.Time), Keys: it.Keys, ContentType: reading.ContentType, Query: reading.Query,
			Payload: it.Payload, Unreadable: it.Unreadable,
		}})
	}
	return out, nil
}

// identify returns the event id of an item, and whether it holds the window of
// the arrival. The time in it is one that a repeat cannot change, or else the
// arrival, rounded down to the window; a provider's time that is more than an
// hour ahead or a week back counts as none.
func identify(source, label string, it Item, received time.Time) (id string, windowed bool, err error) {
	switch {
	case it.NaturalKey == "":
		id, err = eventID(source, label, received, NewRev(), NewRev())
		return id, false, err
	case usable(it.Stable, received):
		id, err = eventID(source, label, it.Stable, it.Type, it.NaturalKey)
		return id, false, err
	}
	id, err = eventID(source, label, received.Truncate(window), it.Type, it.NaturalKey)
	return id, true, err
}

func usable(t, received time.Time) bool {
	return !t.IsZero() && t.Before(received.Add(time.Hour)) && t.After(received.Add(-7*24*time.Hour))
}

func utcOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return utc(t)
}

func wantsTypeOf(patterns []string, typ string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchesType(p, typ) })
}

// enqueue sends as to the events queue. What the queue refuses is sent again
// as long as there is time; then the error wraps ErrUnavailable.
func (g *Gateway) enqueue(ctx context.Context, as []arrival) error {
	if len(as) == 0 {
		return nil
	}
	ms, err := packEvents(as, g.fairGroup(as[0].Source))
	if err != nil {
		return err
	}
	return g.send(ctx, EventsQueue, ms)
}

// send sends ms in as few calls as the queue's limits allow, and what was
// refused again.
func (g *Gateway) send(ctx context.Context, q QueueName, ms []Message) error {
	for len(ms) > 0 {
		n, size := 0, 0
		for n < len(ms) && n < MaxSend && (n == 0 || size+len(ms[n].Body) <= MaxMessageBytes) {
			size += len(ms[n].Body)
			n++
		}
		if err := g.sendBatch(ctx, q, ms[:n]); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

func (g *Gateway) sendBatch(ctx context.Context, q QueueName, ms []Message) error {
	var last error
	for range 5 {
		errs := g.Queue.Send(ctx, q, ms)
		var left []Message
		for i, err := range errs {
			switch {
			case errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid):
				return fmt.Errorf("send to %s: %w", q, err)
			case err != nil:
				left, last = append(left, ms[i]), err
			}
		}
		if ms = left; len(ms) == 0 {
			return nil
		}
		if timeLeft(ctx) < sendAgain {
			break
		}
	}
	return fmt.Errorf("send %d messages to %s: %w: %v", len(ms), q, ErrUnavailable, last)
}

// sendTo queues an event of the gateway's own. The same id makes the same
// event, so it may be called again.
func (g *Gateway) sendTo(ctx context.Context, e Event) error {
	if !e.own() || e.ID == "" {
		return fmt.Errorf("send an event of our own: %w: want its id and whom it is for", ErrInvalid)
	}
	return g.enqueue(ctx, []arrival{{Event: e, token: digest(e.ID + e.Only)}})
}
