package gateway

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestFirstOutcomeIsRecordedOverWhatIsThere records the outcome of a first attempt
// that another run may have made as well.
func TestFirstOutcomeIsRecordedOverWhatIsThere(t *testing.T) {
	proofs.Long(t)
	accepted := Attempt{At: noon, Took: time.Second, StatusCode: 202, Class: egress.OK, Response: []byte("seen"), Inline: true}
	refused := Attempt{At: noon, Took: time.Second, StatusCode: 500, Class: egress.Status5xx, Response: []byte("no")}
	gone := Attempt{At: noon, Took: time.Second, StatusCode: 410, Class: egress.Status4xx}
	pending := func(d Delivery) Delivery { d, _ = d.record(refused, schedule.Schedule{}, 0.5, false); return d }
	closed := func(d Delivery) Delivery { return d.end(Succeeded, "", noon.Add(-time.Hour)) }
	held := func(d Delivery) Delivery { return d.hold(reasonDisabled, noon) }
	for _, tt := range []struct {
		name     string
		there    func(Delivery) Delivery // nil: nothing
		thin     bool
		a        *Attempt // nil: none was made
		verb     func(Delivery) Delivery
		fails    string // the PK of rows that cannot be written
		want     Status // empty: no row
		code     int    // of its last attempt
		sent     int
		attempts int // rows of
		err      error
	}{
		{name: "accepted", a: &accepted, want: Succeeded, code: 202},
		{name: "accepted, of a history of failures", thin: true, a: &accepted},
		{name: "refused", a: &refused, want: Pending, code: 500, sent: 1, attempts: 1},
		{name: "refused, of a history of failures", thin: true, a: &refused, want: Pending, code: 500, sent: 1, attempts: 1},
		{name: "held", verb: held, want: Held},
		{name: "held, of a history of failures", thin: true, verb: held, want: Held},
		{name: "accepted over a refusal", there: pending, a: &accepted, want: Succeeded, code: 202},
		{name: "accepted over an acceptance", there: closed, a: &accepted, want: Succeeded},
		{name: "refused over a refusal", there: pending, a: &refused, want: Pending, code: 500, attempts: 1},
		{name: "refused over an acceptance", there: closed, a: &refused, want: Succeeded, attempts: 1},
		{name: "held over a refusal", there: pending, verb: held, want: Pending, code: 500},
		{name: "an attempt that cannot be stored", a: &refused, fails: "A#", err: errOutage},
		{name: "a delivery that cannot be stored", a: &accepted, fails: "D#", err: errOutage},
		{name: "gone, of a history of failures", thin: true, a: &gone, want: Failed, code: 410, attempts: 1},
		{name: "gone, of a history of failures that cannot be kept", thin: true, a: &gone, fails: "E#", err: errOutage},
		{name: "an event that cannot be kept", a: &refused, fails: "E#", err: errOutage},
		{name: "an event that cannot be kept for a hold", verb: held, fails: "E#", err: errOutage},
		{name: "an event of a history of failures that cannot be kept for a hold", thin: true, verb: held, fails: "E#", err: errOutage},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &tampered{}
			y := newYard(t, FullHistory, func(c *Config) { w.Store, c.Store = c.Store, w })
			r, a := y.register("tenant.example"), y.arrival()
			if _, _, err := y.claimEvent(t.Context(), a, newEventRow(a, nil, false, y.newRunID(), y.Clock()), tt.thin); err != nil {
				t.Fatal(err)
			}
			f := &fanOut{Event: &a.Event, fs: y.fanOuts, inbound: a, failuresOnly: tt.thin}
			if tt.there != nil {
				d := tt.there(newDelivery(&a.Event, r, y.Clock()))
				if err := y.putDelivery(t.Context(), &d, ""); err != nil {
					t.Fatal(err)
				}
			}
			d, self := newDelivery(&a.Event, r, y.Clock()), false
			if tt.a != nil {
				d, self = d.record(*tt.a, r.Schedule, 0.5, true)
			} else {
				d = tt.verb(d)
			}
			y.store.written()
			w.failOn("put", tt.fails)
			if tt.fails == "" {
				w.fail(nil)
			}
			err := f.record(t.Context(), &d, tt.a, self, false)
			w.fail(nil)
			attempts := len(y.store.written("A#"))
			hs := y.headers(storage.RetryQueue)
			sent := len(hs)
			if sent > 0 && (hs[0].SelfSends != 1 || hs[0].ID != d.ID || hs[0].Claim != d.Claim) {
				t.Errorf("%s: sent %+v; want claim %d, the first hop", tt.name, hs[0], d.Claim)
			}
			now, loadErr := y.LoadDelivery(t.Context(), ident.Delivery(r.ID, a.ID))
			code := 0
			if now.Last != nil {
				code = now.Last.StatusCode
			}
			if !errors.Is(err, tt.err) || tt.err == nil && (err != nil || attempts != tt.attempts) || now.Status != tt.want || code != tt.code || sent != tt.sent || (loadErr != nil) != (tt.want == "") {
				t.Errorf("%s: %v; it is %q with %d, %d messages, %d rows of attempts; want %v, %q with %d, %d, %d", tt.name,
					err, now.Status, code, sent, attempts, tt.err, tt.want, tt.code, tt.sent, tt.attempts)
			}
			if tt.err != nil || tt.want == "" || tt.there != nil && tt.a == nil {
				return
			}
			er, row := y.event(a.ID)
			if open := slices.Contains(er.Unfinished, r.ID); open != (tt.want == Pending) || (len(row.Body) == 0) != (tt.thin && tt.want == Succeeded) {
				t.Errorf("%s: the event is kept %v, with %d bytes", tt.name, open, len(row.Body))
			}
		})
	}
}

// TestEventThatIsGoneIsMadeAnewOnlyOfAHistoryOfFailures keeps an event whose row
// is gone, or was never written.
func TestEventThatIsGoneIsMadeAnewOnlyOfAHistoryOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, thin := range []bool{false, true} {
			y := newYard(t, FullHistory)
			a := y.arrival()
			f := &fanOut{Event: &a.Event, fs: y.fanOuts, inbound: a, failuresOnly: thin, match: []string{"reg_1"}}
			key, _ := EventKey(a.ID)
			if err := f.retain(t.Context(), &Delivery{Registration: "reg_1"}); (err == nil) != thin || y.exists(key) != thin {
				t.Fatalf("thin %v: %v, there is a row %v; want one %v", thin, err, y.exists(key), thin)
			}
			if !thin {
				continue
			}
			er, row := y.event(a.ID)
			if !slices.Equal(er.Match, []string{"reg_1"}) || !slices.Equal(er.Unfinished, []string{"reg_1"}) || er.Run != "" || !er.Lease.Equal(y.Clock()) || string(row.Body) != string(a.Payload) || !row.Expires.IsZero() {
				t.Errorf("made anew as %+v with %q, expires %v", er, row.Body, row.Expires)
			}
			y.store.written()
			if err := f.fs.events.release(t.Context(), a.ID, f.fillEvent(), "reg_other", time.Time{}); err != nil || len(y.store.written("E#")) != 0 {
				t.Errorf("what is whole is written again, %v", err)
			}
		}
	})
}

// TestDeliveryThatIsNotWantedIsNotPromised looks at what is recorded where no first
// attempt is made.
func TestDeliveryThatIsNotWantedIsNotPromised(t *testing.T) {
	for _, tt := range []struct {
		verdict Status
		kept    bool
		want    Status // empty: no delivery
		open    bool
	}{
		{Cancelled, false, "", true}, {Cancelled, true, "", false}, {Held, false, Held, false}, {Held, true, Held, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			r, a := y.register("tenant.example"), y.arrival()
			er := newEventRow(a, nil, false, y.newRunID(), y.Clock())
			er.Unfinished = []string{r.ID}
			if _, _, err := y.claimEvent(t.Context(), a, er, false); err != nil {
				t.Fatal(err)
			}
			f := &fanOut{Event: &a.Event, fs: y.fanOuts, inbound: a}
			tr := task{e: &a.Event, r: r, d: newDelivery(&a.Event, r, y.Clock())}
			tr.d.retained = tt.kept
			if err := f.ineligible(t.Context(), &tr, tt.verdict, "why"); err != nil {
				t.Fatal(err)
			}
			d, err := y.LoadDelivery(t.Context(), ident.Delivery(r.ID, a.ID))
			er, _ = y.event(a.ID)
			if d.Status != tt.want || (err == nil) != (tt.want != "") || tt.want != "" && (d.Reason != "why" || !d.Since.Equal(y.Clock())) || slices.Contains(er.Unfinished, r.ID) != tt.open {
				t.Errorf("%s, kept %v: %q (%s), %v, the event is open for %v; want %q, open %v", tt.verdict, tt.kept, d.Status, d.Reason, err, er.Unfinished, tt.want, tt.open)
			}
		})
	}
}

// TestLatencyIsCountedOfFirstAcceptances has an event wait for three seconds, and
// its answer take one.
func TestLatencyIsCountedOfFirstAcceptances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code, want := range map[int]float64{200: 4000, 500: 0} {
			y := newYard(t, FullHistory)
			r := y.register("tenant.example", every(time.Minute))
			y.answer = func(landed) int { time.Sleep(time.Second); return code }
			a := y.arrival()
			time.Sleep(3 * time.Second)
			if y.fanOut(1, a) || y.counted(DeliveryLatency) != want {
				t.Errorf("answered %d: a latency of %v ms is counted, want %v", code, y.counted(DeliveryLatency), want)
			}
			accepted, refused := y.counted(AttemptsSucceeded), y.counted(AttemptsFailed)
			if accepted+refused != 1 || accepted == 1 != (code == 200) {
				t.Errorf("answered %d: %v counted as accepted, %v as refused", code, accepted, refused)
			}
			if d := y.delivery(r, a.ID); d.Last.Inline != (code == 200) || d.Last.Took != time.Second {
				t.Errorf("answered %d: the last attempt is %+v, want it alone %v", code, d.Last, code == 200)
			}
		}
	})
}

// TestEventIsKeptForEachThatAsks keeps an event for one registration after the
// other, and while that cannot be written.
func TestEventIsKeptForEachThatAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &tampered{}
		y := newYard(t, FullHistory, func(c *Config) { w.Store, c.Store = c.Store, w })
		r, a := y.register("tenant.example", inOrder), y.arrival()
		if _, _, err := y.claimEvent(t.Context(), a, newEventRow(a, nil, false, y.newRunID(), y.Clock()), false); err != nil {
			t.Fatal(err)
		}
		f := &fanOut{Event: &a.Event, fs: y.fanOuts, inbound: a}
		for _, id := range []string{"reg_1", "reg_2"} {
			d := Delivery{Registration: id}
			if err := f.retain(t.Context(), &d); err != nil || !d.retained {
				t.Errorf("keep for %s: %v, kept %v; want it kept", id, err, d.retained)
			}
		}
		if er, _ := y.event(a.ID); !slices.Equal(er.Unfinished, []string{"reg_1", "reg_2"}) {
			t.Errorf("the event is open for %v, want both", er.Unfinished)
		}
		w.failOn("put", "E#")
		y.store.written()
		tr := task{e: &a.Event, r: r, d: newDelivery(&a.Event, r, y.Clock())}
		if mine, err := f.proceed(t.Context(), &tr); mine || !errors.Is(err, errOutage) || len(y.store.written("L#", "D#")) > 0 {
			t.Errorf("a lane for what is not kept: its turn %v, %v; want %v and no row", mine, err, errOutage)
		}
	})
}

// TestEventIsFilledInWithWhatItWasBegunWith finishes a delivery of an event whose
// row was begun without its payload, or not at all.
func TestEventIsFilledInWithWhatItWasBegunWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FailureHistory)
		for _, run := range []string{"", "p.1"} {
			a := y.arrival()
			if run != "" {
				if _, _, err := y.claimEvent(t.Context(), a, newEventRow(a, nil, false, run, y.Clock().Add(time.Hour)), true); err != nil {
					t.Fatal(err)
				}
			}
			f := &fanOut{Event: &a.Event, fs: y.fanOuts, inbound: a, failuresOnly: true}
			if err := y.events.release(t.Context(), a.ID, f.fillEvent(), "reg_1", time.Time{}); err != nil {
				t.Fatal(err)
			}
			if er, row := y.event(a.ID); er.Run != run || string(row.Body) != string(a.Payload) || !row.Expires.Equal(y.Clock().Add(y.Retention.History)) {
				t.Errorf("begun by %q: run %q, %q, expires %v; want its payload, for %v", run, er.Run, row.Body, row.Expires, y.Retention.History)
			}
		}
	})
}
