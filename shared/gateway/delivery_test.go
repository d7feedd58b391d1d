package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/schedule"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func attempted(code, claim int) Attempt {
	a := Attempt{At: noon, Took: time.Second, StatusCode: code, Claim: claim, Class: egress.Status5xx}
	if code >= 200 && code < 300 {
		a.Class = egress.OK
	}
	return a
}

func TestRecordDecidesByTheAttempt(t *testing.T) {
	one := schedule.Schedule{Waits: []time.Duration{time.Minute}}
	for _, tt := range []struct {
		name string
		d    Delivery
		a    Attempt
		self bool

		status   Status
		why      string
		made     int
		sendSelf bool
	}{
		{"accepted at once", Delivery{Status: Pending}, attempted(204, 0), true, Succeeded, "", 1, false},
		{"refused with a wait left", Delivery{Status: Pending}, attempted(500, 0), true, Pending, "", 1, true},
		{"refused, the tick sends", Delivery{Status: Pending}, attempted(500, 0), false, Pending, "", 1, false},
		{"refused after the last wait", Delivery{Status: Pending, Attempts: 1, Claim: 3}, attempted(500, 3), true, Failed, "exhausted", 2, false},
		{"gone stops at once", Delivery{Status: Pending}, attempted(410, 0), true, Failed, "gone", 1, false},
		{"refused under an old claim", Delivery{Status: Pending, Claim: 4}, attempted(500, 3), true, Pending, "", 0, false},
		{"accepted under an old claim", Delivery{Status: Pending, Claim: 4}, attempted(200, 3), true, Succeeded, "", 0, false},
		{"accepted after it was closed", Delivery{Status: Succeeded, Claim: 4}, attempted(200, 3), true, Succeeded, "", 0, false},
		{"refused after it was accepted", Delivery{Status: Succeeded, Claim: 4}, attempted(500, 4), true, Succeeded, "", 0, false},
		{"accepted though cancelled meanwhile", Delivery{Status: Cancelled, Claim: 4}, attempted(200, 3), true, Succeeded, "", 0, false},
		{"resend accepted", Delivery{Status: Failed, Manual: true, Claim: 5, Attempts: 2}, attempted(200, 5), true, Succeeded, "", 2, false},
		{"resend refused", Delivery{Status: Failed, Reason: "exhausted", Manual: true, Claim: 5, Attempts: 2}, attempted(500, 5), true, Failed, "exhausted", 2, false},
		{"resend of what succeeded accepted", Delivery{Status: Succeeded, Manual: true, Claim: 5, Attempts: 2, due: noon}, attempted(200, 5), true, Succeeded, "", 2, false},
		{"resend of what succeeded refused", Delivery{Status: Succeeded, Manual: true, Claim: 5, Attempts: 2, due: noon}, attempted(500, 5), true, Succeeded, "", 2, false},
		{"resend of what succeeded, gone", Delivery{Status: Succeeded, Manual: true, Claim: 5, Attempts: 2, due: noon}, attempted(410, 5), true, Succeeded, "", 2, false},
		{"resend of a pending one refused", Delivery{Status: Pending, Manual: true, Claim: 5, Attempts: 1, due: noon}, attempted(500, 5), true, Pending, "", 1, true},
		{"probe refused", Delivery{Status: Pending, Claim: 5}, attempted(500, 5), true, Pending, "", 1, false},
		{"probe accepted", Delivery{Status: Pending, Claim: 5}, attempted(200, 5), true, Succeeded, "", 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, self := tt.d.record(tt.a, one, 0.5, tt.self)
			if got.Status != tt.status || got.Reason != tt.why || got.Attempts != tt.made || self != tt.sendSelf {
				t.Errorf("status %q, why %q, made %d, self %v; want %q, %q, %d, %v",
					got.Status, got.Reason, got.Attempts, self, tt.status, tt.why, tt.made, tt.sendSelf)
			}
			if got.Status == Pending && got.Claim != tt.d.Claim && got.due.IsZero() != tt.d.Parked() {
				t.Errorf("pending and due %v: want it due, but for one that is parked", got.due)
			}
			if now := tt.a.At.Add(tt.a.Took); tt.d.Parked() && got.Parked() && got.Claim != tt.d.Claim && !got.NextAttempt.After(now) {
				t.Errorf("it is parked until %v, want its schedule to go on", got.NextAttempt)
			}
			if got.Status != Pending && (got.Manual || !got.due.IsZero()) {
				t.Errorf("manual %v, due %v though it is %s: it would be attempted for ever", got.Manual, got.due, got.Status)
			}
		})
	}
}

func TestResendIsMadeThoughAnAttemptBeforeItIsAccepted(t *testing.T) {
	pending := Delivery{Status: Pending, Claim: 3, due: noon}
	resent := pending.resend(noon)
	got, _ := resent.record(attempted(200, 3), schedule.Schedule{}, 0.5, true)
	if got.Status != Succeeded || !got.mayPost(resent.Claim, noon, time.Second) || got.due.IsZero() {
		t.Errorf("status %s, due %v, the resend may be made: %v; want succeeded and due", got.Status, got.due, got.mayPost(resent.Claim, noon, time.Second))
	}
}

func TestResendThatIsNeverRecordedEndsAlone(t *testing.T) {
	for _, tt := range []struct{ status, want Status }{{Succeeded, Succeeded}, {Cancelled, Cancelled}, {Failed, Failed}, {Pending, Failed}} {
		got := Delivery{Status: tt.status}.resend(noon).fail(reasonInternal, noon)
		if got.Status != tt.want || got.Manual || !got.due.IsZero() {
			t.Errorf("a lost resend of what is %s: %s, manual %v, due %v; want %s and not due", tt.status, got.Status, got.Manual, got.due, tt.want)
		}
	}
}

func TestResendThatMayNotBeMadeEndsAlone(t *testing.T) {
	for _, tt := range []struct{ status, want Status }{{Succeeded, Succeeded}, {Failed, Failed}, {Held, Cancelled}, {Pending, Cancelled}} {
		got := Delivery{Status: tt.status}.resend(noon).Cancel(reasonNotGranted, noon)
		if got.Status != tt.want || got.Manual || !got.due.IsZero() {
			t.Errorf("a cancelled resend of what is %s: %s, manual %v, due %v; want %s and not due", tt.status, got.Status, got.Manual, got.due, tt.want)
		}
	}
}

func TestResendThatMustWaitIsStillMade(t *testing.T) {
	for _, status := range []Status{Succeeded, Failed, Held, Cancelled, Pending} {
		got := Delivery{Status: status}.resend(noon).postpone(noon.Add(time.Minute))
		if got.Status != status || !got.Manual || !got.due.Equal(noon.Add(time.Minute)) {
			t.Errorf("a resend of what is %s that must wait: %s, manual %v, due %v; want it due in a minute", status, got.Status, got.Manual, got.due)
		}
		if again := got.newClaim(got.due); !again.mayPost(again.Claim, got.due, time.Second) {
			t.Errorf("a resend of what is %s may not be made when it is handed out again", status)
		}
	}
}

func TestHandOutIsTheSoleRightToPost(t *testing.T) {
	d := Delivery{Status: Pending, Attempts: 1, Claim: 3, due: noon}
	h := d.newClaim(noon)
	if h.mayPost(3, noon, time.Second) || !h.mayPost(4, noon, 15*time.Second) {
		t.Errorf("old claim may post: %v, new: %v", h.mayPost(3, noon, time.Second), h.mayPost(4, noon, 15*time.Second))
	}
	if at := h.due.Add(-Lookahead); h.mayPost(4, at, time.Second) {
		t.Error("may still post when the tick may hand it out again")
	}
	if next := h.newClaim(h.due); next.due.Sub(next.NextAttempt) != 2*h.due.Sub(h.NextAttempt) {
		t.Errorf("hold %v after one lost hand-out, want twice %v", next.due.Sub(next.NextAttempt), h.due.Sub(h.NextAttempt))
	}
	for range 20 {
		h = h.newClaim(h.due)
	}
	if hold := h.due.Sub(h.NextAttempt); hold != maxClaimTTL {
		t.Errorf("hold %v after many, want %v", hold, maxClaimTTL)
	}
}

// TestNoInterleavingLosesAnAttempt plays hand-outs, lost messages, records,
// duplicates, postponements and resends in any order.
func TestNoInterleavingLosesAnAttempt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule(t)
		now := noon
		first, _ := Delivery{Status: Pending}.record(attempted(500, 0), s, 0.5, true)
		d, recorded := first, 1
		claims := []int{d.Claim}
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "later")))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1: // the tick
				if !d.due.IsZero() && !d.due.After(now.Add(Lookahead)) && d.Status == Pending {
					d = d.newClaim(now)
					claims = append(claims, d.Claim)
				}
			case 2, 3: // a message, perhaps an old one or a duplicate
				claim := claims[rapid.IntRange(0, len(claims)-1).Draw(t, "which")]
				if !d.mayPost(claim, now, AttemptTime) {
					continue
				}
				manual := d.Manual
				a := attempted(500, claim)
				a.At = now
				d, _ = d.record(a, s, 0.5, rapid.Bool().Draw(t, "self"))
				if !manual {
					recorded++
				}
				claims = append(claims, d.Claim)
			case 4:
				if d.Status == Pending && !d.Manual {
					d = d.postpone(now.Add(time.Minute))
				}
			case 5:
				d = d.resend(now)
				claims = append(claims, d.Claim)
			}
			if d.Attempts != recorded {
				t.Fatalf("made %d, recorded %d: an attempt was counted that was not made, or the other way round", d.Attempts, recorded)
			}
			if d.Status == Pending && d.due.IsZero() {
				t.Fatal("pending and not due")
			}
			if d.Status == Failed && d.Attempts < s.Len()+1 {
				t.Fatalf("failed after %d attempts, the schedule has %d", d.Attempts, s.Len()+1)
			}
		}
	})
}

func TestRowKeepsWhatIsNeeded(t *testing.T) {
	k := Retention{}.orDefault()
	for _, tt := range []struct {
		name      string
		d         Delivery
		due, open bool
		expires   time.Duration
	}{
		{"pending", Delivery{Status: Pending, due: noon}, true, true, 0},
		{"held", Delivery{Status: Held, Since: noon}, false, true, k.Held},
		{"failed", Delivery{Status: Failed, Since: noon}, false, true, k.History},
		{"succeeded", Delivery{Status: Succeeded, Since: noon}, false, false, k.History},
		{"resent after it failed", Delivery{Status: Failed, Manual: true, Since: noon, due: noon}, true, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.d.Registration, tt.d.Event = ident.New("reg", noon), anEventID(t)
			r, err := tt.d.row(k)
			if err != nil {
				t.Fatal(err)
			}
			if r.Due.IsZero() == tt.due || r.Open != tt.open || r.Expires.IsZero() != (tt.expires == 0) || tt.expires > 0 && !r.Expires.Equal(noon.Add(tt.expires)) {
				t.Errorf("due %v, open %v, expires %v", r.Due, r.Open, r.Expires)
			}
			r.Rev = "1"
			back, err := ReadDelivery(r)
			if err != nil || back.Status != tt.d.Status || !back.due.Equal(tt.d.due) {
				t.Errorf("read back: %+v, %v", back, err)
			}
		})
	}
}

func TestDeliveryRowStaysSmall(t *testing.T) {
	now := time.Now().UTC()
	d := newDelivery(&provider.Event{ID: anEventID(t), Source: "src-12345678", Type: "Group.CallbackAfterGroupMsgExtension", Received: now},
		&Registration{ID: ident.New("reg", now), Tenant: ident.New("ten", now)}, now)
	a := attempted(200, 0)
	a.Response = make([]byte, 4096)
	d, _ = d.record(a, schedule.Schedule{}, 0, false)
	r, err := d.row(Retention{}.orDefault())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.PK) + len(r.SK) + len(r.Data) + len(r.Body) + 60; n > 1024 { // 60: attribute names, revision, expiry
		t.Errorf("row of %d bytes (data %s), want 1 KB at most: it would cost a second write unit", n, r.Data)
	}
}

func anEventID(t *testing.T) string {
	t.Helper()
	id, err := ident.Event(ident.NewSource(), "", noon, "k")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDeliveryTellsAttemptsOfOneInstantApart(t *testing.T) {
	first := Attempt{At: noon, Class: egress.OK, StatusCode: 200, Claim: 1, Inline: true}
	second := first
	second.Claim = 3
	d := Delivery{Status: Succeeded, Last: second.last()}
	if d.LastIs(first) || !d.LastIs(second) {
		t.Errorf("of two attempts in one millisecond the delivery tells the first %v, its own %v", d.LastIs(first), d.LastIs(second))
	}
}

// TestWhatAnEndpointAsksForIsAddedToTheTimeOfADelivery sums what it waited for
// beyond its schedule.
func TestWhatAnEndpointAsksForIsAddedToTheTimeOfADelivery(t *testing.T) {
	d, s := Delivery{Status: Pending}, schedule.Schedule{Waits: []time.Duration{10 * time.Second, time.Hour, time.Minute}}
	for n, tt := range []struct{ hint, want time.Duration }{{24 * time.Hour, 24*time.Hour - 10*time.Second}, {time.Minute, 0}, {2 * time.Minute, time.Minute}} {
		a, before := attempted(500, d.Claim), d.RetryAfterSum
		a.RetryAfter = tt.hint
		if d, _ = d.record(a, s, 0.5, false); d.RetryAfterSum-before != tt.want {
			t.Errorf("attempt %d, asked for %v: %v beyond the schedule, want %v", n+1, tt.hint, d.RetryAfterSum-before, tt.want)
		}
	}
}

func anySchedule(t *rapid.T) schedule.Schedule {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return schedule.Schedule{}
	case 1:
		return schedule.Schedule{Name: "every-5-minutes"}
	}
	waits := rapid.SliceOfN(rapid.Int64Range(int64(schedule.MinWait), int64(3*time.Hour)), 1, schedule.MaxWaits).Draw(t, "waits")
	s := schedule.Schedule{Waits: make([]time.Duration, len(waits))}
	for i, w := range waits {
		s.Waits[i] = time.Duration(w)
	}
	return s
}
