package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestDryRunTellsWhatARegistrationWouldHaveGot(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	before := w.eventAt(s, "before", w.Now, gateway.EventRow{Type: "delivered", Keys: map[string][]string{"status": {"delivered"}}})
	w.Pass(time.Minute)
	w.grant(s.ID, c, gateway.Match{"channel": {"SMS"}})
	r := w.register(c, s.ID, control.RegistrationChange{Match: &gateway.Match{"status": {"delivered"}}})
	granted := func(status string) map[string][]string {
		return map[string][]string{"status": {status}, "channel": {"SMS"}}
	}
	first := w.eventAt(s, "1", w.Now, gateway.EventRow{Type: "delivered", Keys: granted("delivered")})
	w.Pass(time.Minute)
	last := w.eventAt(s, "2", w.Now, gateway.EventRow{Type: "delivered", Keys: granted("delivered")})
	unwanted := w.eventAt(s, "3", w.Now.Add(time.Second), gateway.EventRow{Type: "delivered", Keys: granted("undelivered")})
	w.eventAt(s, "4", w.Now, gateway.EventRow{Type: "delivered", Keys: map[string][]string{"status": {"delivered"}, "channel": {"Viber"}}})
	w.eventAt(s, "5", w.Now, gateway.EventRow{Type: gateway.TestEventType, Recipient: r.ID})
	run := func(since time.Time, ch control.RegistrationChange) DryRun {
		t.Helper()
		return gatewaytest.Must(w.DryRunRegistration(t.Context(), c, r.ID, since, ch))(w)
	}
	ids := func(d DryRun) []string { return gatewaytest.IDs(d.Events, func(l Event) string { return l.ID }) }
	got := run(time.Time{}, control.RegistrationChange{})
	if got.Scanned != 3 || got.Matched != 2 || !got.Complete || !slices.Equal(ids(got), []string{last, first}) {
		t.Errorf("dry run %+v, want %v of 3 events, and not %s", got, []string{last, first}, before)
	}
	for _, l := range got.Events {
		if l.Payload != nil || l.Size == 0 {
			t.Errorf("event %s has a payload of %d bytes, and says %d; want the size alone", l.ID, len(l.Payload), l.Size)
		}
	}
	if got = run(w.Now, control.RegistrationChange{}); got.Scanned != 2 || !slices.Equal(ids(got), []string{last}) {
		t.Errorf("dry run since the last came: %+v, want %s", got, last)
	}
	if got = run(time.Time{}, control.RegistrationChange{Match: new(gateway.Match)}); !slices.Equal(ids(got), []string{unwanted, last, first}) || got.Matched != 3 {
		t.Errorf("dry run with another match: %+v, want all 3", got)
	}
	if got = run(time.Time{}, control.RegistrationChange{EventTypes: &[]string{"sent"}}); len(got.Events) != 0 || got.Events == nil || got.Scanned != 3 {
		t.Errorf("dry run with other event types: %+v, want an empty list", got)
	}
	if stored := w.registration(r.ID); stored.Rev != r.Rev || !cmp.Equal(stored.Match, r.Match) {
		t.Errorf("a dry run changed the registration to %+v", stored)
	}
	_, err := w.DryRunRegistration(t.Context(), c, r.ID, time.Time{}, control.RegistrationChange{Match: &gateway.Match{}})
	w.WantErr("DryRunRegistration with a match that is none", err, storage.ErrInvalid)
	_, err = w.DryRunRegistration(t.Context(), w.other(), r.ID, time.Time{}, control.RegistrationChange{})
	w.WantErr("DryRunRegistration of another's", err, storage.ErrNotFound)
	w.WantFaultsReported("DryRunRegistration", func() storagetest.Operation {
		w.Pass(time.Minute) // what is known of the source and its grants is old
		gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, control.RegistrationChange{}))(w)
		return storagetest.Operation{Do: func() error {
			return gatewaytest.ErrOf(w.DryRunRegistration(t.Context(), c, r.ID, time.Time{}, control.RegistrationChange{}))
		}}
	})
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	_, err = w.DryRunRegistration(t.Context(), c, r.ID, time.Time{}, control.RegistrationChange{})
	w.WantErr("DryRunRegistration of a removed one", err, storage.ErrNotFound)
}

func TestDryRunNeedsAFullHistory(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, control.RegistrationChange{})
	w.OK(gatewaytest.ErrOf(w.ChangeSource(t.Context(), s.ID, control.SourceChange{History: new(gateway.FailureHistory)})))
	w.WantUnwritten("failures", func() {
		_, err := w.DryRunRegistration(t.Context(), c, r.ID, time.Time{}, control.RegistrationChange{})
		w.WantErr("DryRunRegistration", err, storage.ErrConflict)
	})
}

func TestDryRunHasBounds(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, control.RegistrationChange{})
	for n := range dryRunMaxEvents + 5 {
		w.eventAt(s, fmt.Sprint(n), w.Now.Add(time.Duration(n)*time.Second), gateway.EventRow{Type: "delivered", Keys: map[string][]string{"label": {""}}})
	}
	w.eventAt(s, "of our own", w.Now, gateway.EventRow{Type: gateway.TestEventType, Recipient: r.ID})
	got := gatewaytest.Must(w.DryRunRegistration(t.Context(), c, r.ID, time.Time{}, control.RegistrationChange{}))(w)
	if got.Scanned != dryRunMaxEvents+5 || got.Matched != dryRunMaxEvents+5 || len(got.Events) != dryRunMaxEvents || !got.Complete {
		t.Errorf("dry run: %d of %d, %d shown, complete %v; want %d, of which %d are shown", got.Matched, got.Scanned, len(got.Events), got.Complete, dryRunMaxEvents+5, dryRunMaxEvents)
	}
	w.Store.Store = &ticking{Store: w.Store.Store, w: w, by: dryRunTime}
	if got = gatewaytest.Must(w.dryRun(t.Context(), r, time.Time{}))(w); got.Complete || got.Scanned == 0 || got.Scanned > storage.MaxPageRows {
		t.Errorf("dry run that takes too long: %d, complete %v, want it to end after a page", got.Scanned, got.Complete)
	}
}

func TestDryRunLooksAtSoManyEvents(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, control.RegistrationChange{})
	w.Store.Store = &endless{Store: w.Store.Store, w: w, source: s}
	got := gatewaytest.Must(w.dryRun(t.Context(), r, time.Time{}))(w)
	if got.Scanned < dryRunEvents || got.Scanned >= dryRunEvents+storage.MaxPageRows || got.Complete {
		t.Errorf("dry run of an endless history: %d events, complete %v; want it to end after %d", got.Scanned, got.Complete, dryRunEvents)
	}
}

// ticking is a Store whose first list takes a time.
type ticking struct {
	storage.Store
	w    *world
	by   time.Duration
	once sync.Once
}

// List implements storage.Store.
func (s *ticking) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	s.once.Do(func() { s.w.Pass(s.by) })
	return s.Store.List(ctx, q)
}

// endless is a Store in which each shard of a source's events has one more page.
type endless struct {
	storage.Store
	w      *world
	source gateway.Source
	mu     sync.Mutex
	n      int
}

// List implements storage.Store.
func (s *endless) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if !strings.HasPrefix(q.PK, "E#") {
		return s.Store.List(ctx, q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var p storage.Page
	for range q.Limit {
		s.n++
		at := gatewaytest.Start.Add(-time.Duration(s.n) * time.Millisecond)
		id, err := ident.Event(s.source.ID, "", at, "x")
		if err != nil {
			return p, err
		}
		data, err := storage.Encode(gateway.EventRow{ID: id, Provider: direct, Type: "delivered", Received: gatewaytest.Start, Keys: map[string][]string{"label": {""}}})
		if err != nil {
			return p, err
		}
		p.Rows = append(p.Rows, storage.Row{Key: storage.Key{Table: q.Table, PK: q.PK, SK: id}, Data: data})
		p.Next = id
	}
	return p, nil
}
