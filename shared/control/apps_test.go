package control

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestAppIsToldByAFormOfSmartBots(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of := w.group(s.ID, "club")
	r := w.app(c, of, "app & co")
	w.OK(w.NotifyApp(t.Context(), gateway.CallbackSet, r, of))
	w.OK(w.NotifyApp(t.Context(), gateway.CallbackSet, r, of))
	es := w.events()
	if len(es) != 2 || es[0].ID != es[1].ID {
		t.Fatalf("events %+v, want the same one twice", es)
	}
	form := url.Values{
		"action": {"callback_set"}, "group_uuid": {of.UUID}, "group_id": {"77"}, "group_name": {"club"}, "app_name": {"app & co"}, "app_uuid": {r.AppUUID},
	}
	want := provider.Event{
		ID: es[0].ID, Source: s.ID, Provider: gateway.SmartBots, Type: "callback_set", Received: r.Since, Time: r.Since,
		Keys:        map[string][]string{"group": {of.UUID}, "app": {r.AppUUID}},
		ContentType: "application/x-www-form-urlencoded", Payload: []byte(form.Encode()), Recipient: r.ID,
	}
	if diff := cmp.Diff(want, es[0]); diff != "" {
		t.Errorf("TellApp (-want +got):\n%s", diff)
	}
	id := gatewaytest.Must(AppEventID(gateway.CallbackSet, r))(w)
	if id != es[0].ID {
		t.Errorf("AppEventID = %s, want %s", id, es[0].ID)
	}
	later, anew, other := r, r, r
	later.Since, anew.GroupRev, other.ID = r.Since.Add(time.Nanosecond), r.GroupRev+1, w.ID("reg")
	for name, r := range map[string]gateway.Registration{"a moment later": later, "of another code": anew, "another": other} {
		if gatewaytest.Must(AppEventID(gateway.CallbackSet, r))(w) == id {
			t.Errorf("AppEventID of the app, %s, is the same", name)
		}
	}
	if gatewaytest.Must(AppEventID(gateway.CallbackRemoved, r))(w) == id {
		t.Error("AppEventID of the removal is the same")
	}
	r.Source = "no source"
	w.WantErr("TellApp of no source", w.NotifyApp(t.Context(), gateway.CallbackSet, r, of), storage.ErrInvalid)
	w.Queue.Fail = storagetest.ErrBroken
	r.Source = s.ID
	w.WantErr("TellApp without a queue", w.NotifyApp(t.Context(), gateway.CallbackSet, r, of), storage.ErrUnavailable)
}

func TestChangedCodeRemovesWhatAnOlderOneMade(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of, other := w.group(s.ID, "club"), w.group(s.ID, "other")
	r, theirs := w.app(c, of, "app"), w.app(c, other, "app")
	now := of
	now.Rev++
	w.WantUnwritten("the same code", func() { w.WantErr("RemoveByCode at the same revision", w.RemoveByCode(t.Context(), r.ID, of), nil) })
	w.WantUnwritten("another group", func() { w.WantErr("RemoveByCode of another group's", w.RemoveByCode(t.Context(), theirs.ID, now), nil) })
	w.WantUnwritten("none", func() { w.WantErr("RemoveByCode of none", w.RemoveByCode(t.Context(), "reg_9", now), nil) })
	w.Pass(time.Hour)
	for range 2 { // as after a crash
		w.WantErr("RemoveByCode", w.RemoveByCode(t.Context(), r.ID, now), nil)
		if got := w.registration(r.ID); got.State != gateway.Removed || got.Reason != gateway.ReasonCode || !got.Since.Equal(w.Now) {
			t.Errorf("after a change of the code the registration is %+v, want it removed now because of that", got)
		}
	}
	es := w.events()
	if len(es) != 2 || es[0].ID != es[1].ID || es[0].Type != gateway.CallbackRemoved || es[0].Recipient != r.ID || !strings.Contains(string(es[0].Payload), "action=callback_removed") {
		t.Errorf("events %+v, want callback_removed to it, the same again", es)
	}
	if got := w.registration(theirs.ID); got.State != gateway.Enabled {
		t.Errorf("another group's registration is %s", got.State)
	}
	w.Store.FailAt(1)
	w.WantErr("RemoveByCode without a Store", w.RemoveByCode(t.Context(), r.ID, now), storagetest.ErrBroken)
}

func TestAppOfAGroupThatIsGoneIsRemovedUntold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of := w.group(s.ID, "club")
	r := w.app(c, of, "app")
	w.OK(w.Store.Delete(t.Context(), gateway.GroupKey(of.ID), storage.AnyRev))
	w.WantErr("RemoveApp", w.RemoveApp(t.Context(), r.ID, "why", 2), nil)
	if got := w.registration(r.ID); got.State != gateway.Removed || got.Reason != "why" || len(w.events()) != 0 {
		t.Errorf("the registration is %+v, and %d events", got, len(w.events()))
	}
	w.WantErr("RemoveApp of none", w.RemoveApp(t.Context(), "reg_9", "why", 2), storage.ErrNotFound)
}

func TestDeletedAppIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of := w.group(s.ID, "club")
	r := w.app(c, of, "app")
	w.WantErr("DeleteRegistration", w.DeleteRegistration(t.Context(), c, r.ID), nil)
	if es := w.events(); len(es) != 1 || es[0].Type != gateway.CallbackRemoved || w.registration(r.ID).Reason != gateway.ReasonDeleted {
		t.Errorf("events %+v, want callback_removed", es)
	}
	w.Work()
	if len(w.Requests) != 1 {
		t.Errorf("the endpoint was called %d times, want once, of its end", len(w.Requests))
	}
	w.Queue.Fail = storagetest.ErrBroken
	w.WantErr("RemoveApp without a queue", w.RemoveApp(t.Context(), r.ID, "why", 2), storage.ErrUnavailable)
	w.Queue.Fail = nil
	n := 0
	w.WantFaultsReported("DeleteRegistration of an app", func() storagetest.Operation {
		r := w.app(c, of, w.ID("x"))
		return storagetest.Operation{Do: func() error { return known(w.DeleteRegistration(t.Context(), c, r.ID)) }}
	})
	w.WantFaultsReported("RemoveApp", func() storagetest.Operation {
		n++
		r := w.app(c, of, strings.Repeat("x", n))
		return storagetest.Operation{
			Do: func() error { return w.RemoveApp(t.Context(), r.ID, "why", r.GroupRev+1) },
			Done: func() {
				es := w.events()
				if w.registration(r.ID).State != gateway.Removed || len(es) == 0 || es[len(es)-1].Recipient != r.ID {
					t.Error("the app is not removed and told")
				}
			},
		}
	})
}
