package api_test

import (
	"testing"
	"time"

	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

func TestRegistrationShowsItsCircuit(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	e.answer(500)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	shown := func() object {
		h, _ := w.Want(200, s.key, "GET", "/v1/registrations/"+r.ID(), nil).Object["health"].(map[string]any)
		return h
	}
	if h := shown(); h["circuit"] != "closed" || len(h) != 1 {
		t.Errorf("health before anything was sent: %v, want a closed circuit and nothing else", h)
	}
	for range 12 {
		w.form(w.callbackURL(s.smartbots), chat("nobody takes this"))
	}
	gatewaytest.Await(t, "the circuit to open", func() bool { return shown()["circuit"] == "open" })
	h := shown()
	times := map[string]time.Time{}
	for _, name := range []string{"since", "next_probe", "failing_since"} {
		text, _ := h[name].(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatalf("health %v: %s %q: %v", h, name, text, err)
		}
		times[name] = at
	}
	if times["failing_since"].After(times["since"]) || !times["next_probe"].After(times["since"]) {
		t.Errorf("health %v, want failing_since ≤ since < next_probe", h)
	}
	list := w.Want(200, s.key, "GET", "/v1/registrations", nil).List(t)
	if listed, _ := list[0]["health"].(map[string]any); listed["circuit"] != "open" {
		t.Errorf("listed with health %v, want the open circuit", listed)
	}
}
