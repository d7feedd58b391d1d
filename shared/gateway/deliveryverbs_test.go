package gateway

import (
	"reflect"
	"testing"
	"time"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// aDelivery returns one of which nothing is empty but what its row does not hold.
func aDelivery(s Status, manual bool) Delivery {
	return Delivery{
		ID: "del_1", Registration: "reg_1", Event: "evt_1", Source: "src_1", Tenant: "ten_1", EventType: "happened", Received: noon.Add(-3 * time.Hour),
		Created: noon.Add(-2 * time.Hour), Status: s, Reason: "why", Attempts: 3, RestartedAt: noon.Add(-time.Hour), Claim: 5, Unacked: 2, LostClaims: 4, Manual: manual,
		NextAttempt: noon.Add(time.Hour), Since: noon.Add(-time.Minute), Last: &Last{At: noon.Add(-time.Hour)}, Replay: true, RateGranted: true, OutOfOrder: true,
		due: noon.Add(2 * time.Hour), rev: "1", body: []byte("before"), retained: true,
	}
}

// TestEachVerbChangesWhatItSays compares whole deliveries before and after.
func TestEachVerbChangesWhatItSays(t *testing.T) {
	there := noon.Add(time.Microsecond).In(time.FixedZone("there", 3600)) // stored as noon
	closed := func(s Status, why string) func(*Delivery) {
		return func(d *Delivery) {
			d.Status, d.Reason, d.Manual, d.Unacked, d.Since, d.NextAttempt, d.due = s, why, false, 0, noon, time.Time{}, time.Time{}
		}
	}
	dropped := func(d *Delivery) { d.Claim, d.Manual, d.Unacked, d.due = 6, false, 0, time.Time{} }
	for _, tt := range []struct {
		name string
		d    Delivery
		verb func(Delivery) Delivery
		want func(*Delivery)
	}{
		{"handed out", aDelivery(Pending, false), func(d Delivery) Delivery { return d.newClaim(noon) },
			func(d *Delivery) { d.Claim, d.Unacked, d.NextAttempt, d.due = 6, 3, noon, noon.Add(4*claimTTL) }},
		{"waits for its own message", aDelivery(Held, false), func(d Delivery) Delivery { return d.waitUntil(there, true) },
			func(d *Delivery) { d.Status, d.Unacked, d.NextAttempt, d.due = Pending, 1, noon, noon.Add(claimTTL) }},
		{"waits for the tick", aDelivery(Held, false), func(d Delivery) Delivery { return d.waitUntil(there, false) },
			func(d *Delivery) { d.Status, d.NextAttempt, d.due = Pending, noon, noon }},
		{"put off", aDelivery(Pending, false), func(d Delivery) Delivery { return d.postpone(there) },
			func(d *Delivery) { d.Claim, d.Unacked, d.NextAttempt, d.due = 6, 0, noon, noon }},
		{"a resend put off", aDelivery(Failed, true), func(d Delivery) Delivery { return d.postpone(there) },
			func(d *Delivery) { d.Claim, d.Unacked, d.NextAttempt, d.due = 6, 0, noon, noon }},
		{"held", aDelivery(Pending, true), func(d Delivery) Delivery { return d.hold("state", there) }, func(d *Delivery) {
			d.Claim, d.Unacked, d.Manual, d.Status, d.Reason, d.Since, d.NextAttempt, d.due = 6, 0, false, Held, "state", noon, time.Time{}, time.Time{}
		}},
		{"released", aDelivery(Held, false), func(d Delivery) Delivery { return d.release(there) },
			func(d *Delivery) {
				d.Claim, d.Reason, d.Since, d.Status, d.NextAttempt, d.due = 6, "", time.Time{}, Pending, noon, noon
			}},
		{"resent", aDelivery(Failed, false), func(d Delivery) Delivery { return d.resend(there) },
			func(d *Delivery) {
				d.Manual, d.Claim, d.Unacked, d.NextAttempt, d.due = true, 6, 3, noon, noon.Add(4*claimTTL)
			}},
		{"closed", aDelivery(Pending, true), func(d Delivery) Delivery { return d.end(Failed, "gone", there) }, closed(Failed, "gone")},
		{"cancelled", aDelivery(Held, false), func(d Delivery) Delivery { return d.Cancel("gone", there) },
			func(d *Delivery) { closed(Cancelled, "gone")(d); d.Claim = 6 }},
		{"cancelled, and pending", aDelivery(Pending, true), func(d Delivery) Delivery { return d.Cancel("gone", there) },
			func(d *Delivery) { closed(Cancelled, "gone")(d); d.Claim = 6 }},
		{"cancelled after it was accepted", aDelivery(Succeeded, true), func(d Delivery) Delivery { return d.Cancel("gone", there) }, dropped},
		{"cancelled after it failed", aDelivery(Failed, true), func(d Delivery) Delivery { return d.Cancel("gone", there) }, dropped},
		{"cancelled again", aDelivery(Cancelled, true), func(d Delivery) Delivery { return d.Cancel("gone", there) }, dropped},
		{"failed", aDelivery(Pending, false), func(d Delivery) Delivery { return d.fail("gone", there) }, closed(Failed, "gone")},
		{"failed, pending and resent", aDelivery(Pending, true), func(d Delivery) Delivery { return d.fail("gone", there) }, closed(Failed, "gone")},
		{"failed, held", aDelivery(Held, false), func(d Delivery) Delivery { return d.fail("gone", there) }, closed(Failed, "gone")},
		{"failed, held and resent", aDelivery(Held, true), func(d Delivery) Delivery { return d.fail("gone", there) }, dropped},
		{"a resend of a pending one dropped", aDelivery(Pending, true), Delivery.dropManual,
			func(d *Delivery) { d.Claim, d.Manual, d.Unacked, d.due = 6, false, 0, d.NextAttempt }},
		{"shown without its answer", aDelivery(Failed, false), Delivery.WithoutResponse, func(d *Delivery) { d.body = nil }},
	} {
		want := tt.d
		tt.want(&want)
		if got := tt.verb(tt.d); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", tt.name, got, want)
		}
	}
}

// TestRecordChangesWhatTheAttemptSays compares whole deliveries before and after an
// attempt of each kind is recorded.
func TestRecordChangesWhatTheAttemptSays(t *testing.T) {
	waits := func(d time.Duration) schedule.Schedule { return schedule.Schedule{Waits: []time.Duration{d, d, d}} }
	ended := noon.Add(time.Second)
	attempt := func(code, claim int) Attempt {
		a := attempted(code, claim)
		a.Error, a.Response = "why not", make([]byte, inlineResponseBytes+1)
		return a
	}
	recorded := func(made int, a Attempt) func(*Delivery) {
		return func(d *Delivery) {
			d.Claim, d.Unacked, d.LostClaims, d.Manual, d.RateGranted, d.Attempts = 6, 0, 0, false, false, made
			d.Last, d.body = &Last{At: a.At, Took: a.Took, StatusCode: a.StatusCode, Class: a.Class, Error: a.Error}, make([]byte, inlineResponseBytes)
		}
	}
	closed := func(made int, a Attempt, s Status, why string) func(*Delivery) {
		return func(d *Delivery) {
			recorded(made, a)(d)
			d.Status, d.Reason, d.Since, d.NextAttempt, d.due = s, why, ended, time.Time{}, time.Time{}
		}
	}
	waiting := func(made int, a Attempt, wait time.Duration, self bool) func(*Delivery) {
		return func(d *Delivery) {
			recorded(made, a)(d)
			d.NextAttempt, d.due = ended.Add(wait), ended.Add(wait)
			if self {
				d.Unacked, d.due = 1, d.due.Add(claimTTL)
			}
		}
	}
	late := func(claim int) func(*Delivery) {
		return func(d *Delivery) {
			recorded(3, attempt(200, claim))(d)
			d.Claim, d.LostClaims, d.RateGranted = 5, 4, true
			d.Status, d.Reason, d.Since, d.NextAttempt, d.due = Succeeded, "", ended, time.Time{}, time.Time{}
		}
	}
	lane := func(d Delivery) Delivery { d.Lane = true; return d }
	made := func(n int, d Delivery) Delivery { d.Attempts = n; return d }
	nothing := func(*Delivery) {}
	for _, tt := range []struct {
		name string
		d    Delivery
		a    Attempt
		wait time.Duration
		want func(*Delivery)
		self bool
	}{
		{"accepted", aDelivery(Pending, false), attempt(200, 5), 0, closed(4, attempt(200, 5), Succeeded, ""), false},
		{"gone", aDelivery(Pending, false), attempt(410, 5), 0, closed(4, attempt(410, 5), Failed, "gone"), false},
		{"refused for the last time", aDelivery(Pending, false), attempt(500, 5), time.Minute, closed(4, attempt(500, 5), Failed, reasonExhausted), false},
		{"refused", made(2, aDelivery(Pending, false)), attempt(500, 5), time.Minute, waiting(3, attempt(500, 5), time.Minute, true), true},
		{"refused, with the longest wait of a message", made(2, aDelivery(Pending, false)), attempt(500, 5), maxSelfSendDelay, waiting(3, attempt(500, 5), maxSelfSendDelay, true), true},
		{"refused, with a longer wait", made(2, aDelivery(Pending, false)), attempt(500, 5), maxSelfSendDelay + time.Second, waiting(3, attempt(500, 5), maxSelfSendDelay+time.Second, false), false},
		{"refused, in a lane", lane(made(2, aDelivery(Pending, false))), attempt(500, 5), time.Minute, waiting(3, attempt(500, 5), time.Minute, false), false},
		{"refused for too many", made(2, aDelivery(Pending, false)), attempt(429, 5), time.Second, waiting(3, attempt(429, 5), schedule.SlowDownWait, true), true},
		{"refused late", aDelivery(Pending, false), attempt(500, 4), 0, nothing, false},
		{"accepted late", aDelivery(Pending, false), attempt(200, 4), 0, late(4), false},
		{"accepted late, while a resend waits", aDelivery(Pending, true), attempt(200, 4), 0, func(d *Delivery) {
			start, due := d.NextAttempt, d.due
			late(4)(d)
			d.Manual, d.Unacked, d.NextAttempt, d.due = true, 2, start, due
		}, false},
		{"accepted late, though it was accepted", aDelivery(Succeeded, false), attempt(200, 4), 0, nothing, false},
		{"refused though it was accepted", aDelivery(Succeeded, false), attempt(500, 5), 0, nothing, false},
		{"a resend of what was accepted, accepted", aDelivery(Succeeded, true), attempt(200, 5), 0, closed(3, attempt(200, 5), Succeeded, ""), false},
		{"a resend of what was accepted, refused", aDelivery(Succeeded, true), attempt(500, 5), 0,
			func(d *Delivery) { recorded(3, attempt(500, 5))(d); d.due = time.Time{} }, false},
		{"a resend of what failed, refused", aDelivery(Failed, true), attempt(500, 5), 0,
			func(d *Delivery) { recorded(3, attempt(500, 5))(d); d.due = time.Time{} }, false},
		{"a resend of what failed, gone", aDelivery(Failed, true), attempt(410, 5), 0, closed(3, attempt(410, 5), Failed, "gone"), false},
		{"a resend of what is pending, refused", made(2, aDelivery(Pending, true)), attempt(500, 5), time.Minute, waiting(2, attempt(500, 5), time.Minute, true), true},
	} {
		want := tt.d
		tt.want(&want)
		if got, self := tt.d.record(tt.a, waits(tt.wait), 0.5, true); !reflect.DeepEqual(got, want) || self != tt.self {
			t.Errorf("%s:\n%+v, send %v; want\n%+v, %v", tt.name, got, self, want, tt.self)
		}
		if _, self := tt.d.record(tt.a, waits(tt.wait), 0.5, false); self {
			t.Errorf("%s: the caller is to send what it cannot", tt.name)
		}
	}
}

// TestAttemptAloneIsWholeInItsDelivery turns attempts into what a delivery says of
// its last one, and back.
func TestAttemptAloneIsWholeInItsDelivery(t *testing.T) {
	a := Attempt{At: noon, Took: time.Second, StatusCode: 200, Class: egress.OK, Error: "why", Manual: true, Claim: 7, Response: []byte("seen"), Inline: true}
	if got := a.last().Attempt(a.Response); !reflect.DeepEqual(got, a) {
		t.Errorf("alone: %+v, want %+v", got, a)
	}
	a.Inline = false
	if got, want := *a.last(), (Last{At: noon, Took: time.Second, StatusCode: 200, Class: egress.OK, Error: "why"}); got != want {
		t.Errorf("with a row: %+v, want %+v", got, want)
	}
}

// TestRightToPostEndsBeforeItIsHandedOutAgain looks at the right's edges.
func TestRightToPostEndsBeforeItIsHandedOutAgain(t *testing.T) {
	const limit = 10 * time.Second
	last := noon.Add(-Lookahead - limit)
	for _, tt := range []struct {
		name   string
		d      Delivery
		claim  int
		now    time.Time
		mine   bool
		within bool
	}{
		{"the last moment", Delivery{Status: Pending, Claim: 2}, 2, last, true, true},
		{"a moment later", Delivery{Status: Pending, Claim: 2}, 2, last.Add(1), true, false},
		{"another claim", Delivery{Status: Pending, Claim: 2}, 1, last, false, false},
		{"of what is final", Delivery{Status: Failed, Claim: 2}, 2, last, false, false},
		{"a resend of what is final", Delivery{Status: Failed, Claim: 2, Manual: true}, 2, last, true, true},
	} {
		tt.d.due = noon
		if mine, may := tt.d.holdsClaim(tt.claim), tt.d.mayPost(tt.claim, tt.now, limit); mine != tt.mine || may != tt.within {
			t.Errorf("%s: mine %v, may post %v; want %v, %v", tt.name, mine, may, tt.mine, tt.within)
		}
	}
	for lost, want := range map[int]time.Duration{0: claimTTL, 1: 2 * claimTTL, 3: 8 * claimTTL, 4: maxClaimTTL, 90: maxClaimTTL} {
		if d := (Delivery{Unacked: lost}).newClaim(noon); !d.due.Equal(noon.Add(want)) {
			t.Errorf("after %d that were lost: due %v after its start, want %v", lost, d.due.Sub(noon), want)
		}
	}
}

// TestDeliveryIsReadAsItWasWritten stores whole deliveries.
func TestDeliveryIsReadAsItWasWritten(t *testing.T) {
	e := &provider.Event{ID: anEventID(t), Type: "happened", Received: noon.Add(-time.Hour)}
	e.Source, _ = ident.SourceOf(e.ID)
	r := &Registration{ID: ident.New("reg", noon), Tenant: "ten_1"}
	fresh := newDelivery(e, r, noon)
	want := Delivery{ID: ident.Delivery(r.ID, e.ID), Registration: r.ID, Event: e.ID, Source: e.Source, Tenant: "ten_1", EventType: "happened",
		Received: e.Received, Created: noon, Status: Pending}
	if !reflect.DeepEqual(fresh, want) {
		t.Errorf("newDelivery = %+v, want %+v", fresh, want)
	}
	for _, tt := range []struct {
		status       Status
		manual, lane bool
		due, kept    bool
	}{
		{Pending, false, false, true, true}, {Pending, true, false, true, true}, {Pending, false, true, false, true}, {Pending, true, true, true, true},
		{Failed, false, false, false, false}, {Failed, true, true, true, true}, {Held, false, false, false, false}, {Succeeded, false, false, false, false},
	} {
		d := aDelivery(tt.status, tt.manual)
		d.ID, d.Registration, d.Event, d.Source, d.Lane = want.ID, want.Registration, want.Event, want.Source, tt.lane
		row, err := d.row(Retention{}.orDefault())
		if err != nil {
			t.Fatal(err)
		}
		row.Rev = "1"
		if d.retained = tt.kept; !tt.due {
			d.due = time.Time{}
		}
		if got, err := ReadDelivery(row); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("read %+v, %v; want\n%+v", got, err, d)
		}
	}
}

// TestPaceIsToldHowAttemptsEnd looks at what the pace of an endpoint goes by.
func TestPaceIsToldHowAttemptsEnd(t *testing.T) {
	for _, tt := range []struct {
		a    Attempt
		want limiter.Outcome
	}{
		{Attempt{}, limiter.Outcome{Succeeded: true}}, // none was made
		{Attempt{At: noon, Class: egress.Internal, Took: 1}, limiter.Outcome{Took: 1}},
		{Attempt{At: noon, Class: egress.OK, Took: 2}, limiter.Outcome{Attempted: true, Succeeded: true, Took: 2}},
		{Attempt{At: noon, Class: egress.Timeout, Took: 3}, limiter.Outcome{Attempted: true, Took: 3}},
		{Attempt{At: noon, Class: egress.Status5xx, Took: 4}, limiter.Outcome{Attempted: true, Took: 4}},
	} {
		if got := tt.a.outcome(false); got != tt.want {
			t.Errorf("outcome of %+v = %+v, want %+v", tt.a, got, tt.want)
		}
	}
}

// TestAttemptRowLastsAsLongAsItsDelivery looks at the row of an attempt.
func TestAttemptRowLastsAsLongAsItsDelivery(t *testing.T) {
	y := newYard(t, FullHistory)
	a := Attempt{At: noon.Add(100 * 365 * 24 * time.Hour), Claim: 3, Response: []byte("seen")}
	y.store.written()
	for range 2 { // again is the same row
		if err := y.deliveries.putAttempt(t.Context(), "del_1", a); err != nil {
			t.Fatal(err)
		}
	}
	rows := y.store.written("A#del_1")
	want := storage.Key{Table: storage.Deliveries, PK: "A#del_1", SK: AttemptID("del_1", a)}
	if len(rows) != 2 || rows[1].Key != want || rows[0].Key != want || string(rows[0].Body) != "seen" || !rows[0].Expires.Equal(a.At.Add(y.Retention.History+schedule.MaxWaitsSum)) {
		t.Errorf("rows %+v; want twice %v, until %v after the attempt", rows, want, y.Retention.History+schedule.MaxWaitsSum)
	}
	if other := AttemptID("del_1", Attempt{At: a.At, Claim: 4}); other == want.SK {
		t.Error("attempts of two claims at one instant have one row")
	}
}

// TestDeliveryThatCannotBeEncodedIsAnError encodes an instant that JSON has not.
func TestDeliveryThatCannotBeEncodedIsAnError(t *testing.T) {
	y := newYard(t, FullHistory)
	d := aDelivery(Succeeded, false)
	d.Created, d.retained = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), false
	if _, err := d.row(y.Retention); err == nil {
		t.Error("there is a row, want an error")
	}
	y.store.set(func(storage.Row) error { t.Error("something is to be written"); return nil })
	if err := y.putDelivery(t.Context(), &d, ""); err == nil || y.exists(DeliveryKey(d.Registration, d.Event)) {
		t.Errorf("written: %v, want an error and no row", err)
	}
}
