package app_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/history"
)

// removedUpstream sends what SmartBots sends when our registration there is gone.
func (w *world) removedUpstream(path, group string) {
	w.t.Helper()
	w.post(path, "application/x-www-form-urlencoded", url.Values{"action": {"callback_removed"}, "group_uuid": {group}}.Encode(), http.StatusOK)
}

func TestDisconnectedSourceIsToldToWhomeverItConcerns(t *testing.T) {
	const kind = "source.disconnected"
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		a, b, narrow := w.tenant(s, nil), w.tenant(s, nil), w.tenant(s, gateway.Match{"group": {groupA}})
		named := control.RegistrationChange{EventTypes: ptr([]string{kind})}
		_, first := w.register(a, s, "first.example", named)
		_, second := w.register(b, s, "second.example", named)
		_, part := w.register(narrow, s, "part.example", control.RegistrationChange{EventTypes: ptr([]string{kind, "*"})})
		_, stars := w.register(a, s, "stars.example", control.RegistrationChange{})

		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour))) // hours are counted from the full one
		for range 5 {
			w.removedUpstream(path, groupA)
		}
		w.within(50*time.Minute, "both told", func() bool { return len(first.OfType(kind)) >= 1 && len(second.OfType(kind)) >= 1 })
		w.within(50*time.Minute, "SmartBots' own word goes to who has the whole source", func() bool {
			return len(stars.OfType("callback_removed")) == 5
		})
		if n := len(first.OfType(kind)); n != 1 && w.weak == 0 {
			t.Errorf("five removals of one group were told %d times, want once", n)
		}
		before := len(first.OfType(kind))
		w.removedUpstream(path, groupB)
		w.within(12*time.Hour, "told of the other group", func() bool { return len(first.OfType(kind)) > before })
		time.Sleep(2 * time.Hour)
		before = len(first.OfType(kind))
		w.removedUpstream(path, groupA)
		w.within(12*time.Hour, "told again in another hour", func() bool { return len(first.OfType(kind)) > before })
		time.Sleep(2 * time.Hour)
		if n := len(part.Posts()); n != 0 {
			t.Errorf("who is granted a group alone got %d events about the source", n)
		}
		if n := len(stars.OfType(kind)); n != 0 {
			t.Errorf("a registration that does not name %s got %d", kind, n)
		}
	})
}

func TestDisconnectedSourceIsSeenByWhoWasTold(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "told.example", control.RegistrationChange{EventTypes: ptr([]string{"source.disconnected"})})
		time.Sleep(time.Minute) // a repeat that comes in another hour by the worker's clock is told again
		w.removedUpstream(path, groupA)
		w.within(6*time.Hour, "told", func() bool { return len(e.Posts()) > 0 })
		p := e.Posts()[0]
		if p.Text(t, "group") != groupA || !p.Valid {
			t.Errorf("told %s, valid %v; want a signed one that names the group", p.Body, p.Valid)
		}
		d := w.wantStatus(c, r, time.Hour, gateway.Succeeded)
		l := again(w, func() (history.Event, error) { return w.lists().EventOf(t.Context(), c, d.Event) })
		if l.Hidden || l.Type != "source.disconnected" {
			t.Errorf("listed as %+v, want it to be shown", l)
		}
	})
}
