package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringback/shared/app"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/history"
	"ringback/shared/ident"
)

// Names of the scenario. Ids are fixed, so that a call can be repeated.
const (
	holding  = "holds.example"   // its registration is disabled for a while
	refusing = "refuses.example" // it refuses the first item once
	ordered  = "orders.example"  // so does it, and its registration is ordered
	chatting = "chats.example"   // registered by set_http_callback

	directSource = "src-direct00"
	chatSource   = "src-smartb0t"
	directKey    = "crash0direct0not0a0secret0000000"
	chatKey      = "crash0smartbots0not0a0secret0000"
	tenant       = "ten_000000000000000000000crash"
	holdingID    = "reg_000000000000000000000holds"
	refusingID   = "reg_0000000000000000000refuses"
	orderedID    = "reg_00000000000000000000orders"
	groupID      = "grp_000000000000000000000crash"
	groupUUID    = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	appUUID      = "0e0c1f52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	releaseID    = "job_000000000000000000000crash"
)

// items are what callbacks are about.
var items = [...]string{"message 1", "message 2", "message 3"}

var caller = control.Caller{Scope: control.ScopeFull, Tenant: tenant}

// A step is something that somebody does until it is answered, or waits for.
type step struct {
	name string
	do   func(w *world, name string)
}

// called is a step that calls the gateway.
func called(f func(ctx context.Context, g *gateway.Gateway) error) func(*world, string) {
	return func(w *world, name string) {
		w.t.Helper()
		w.call(name, f)
	}
}

// happens is a step that waits: for the holds of a delivery that crashes have
// stranded, each twice as long as the one before, and some.
func happens(is func(o *outside) bool) func(*world, string) {
	return func(w *world, name string) {
		w.t.Helper()
		w.within(time.Hour, name, func() bool { return is(w.out) })
	}
}

// A scenario is what happens during a run, and what must hold after it.
type scenario struct {
	name  string
	steps []step
	check func(o *outside, crashes int) error // of what endpoints saw
	thin  bool                                // successes leave no rows
	slow  bool                                // security codes are judged, each of which takes a core for 0.1 s
}

// deliveries is one callback of three items for two registrations, of which
// one holds and one refuses once; a release, and a resend.
var deliveries = scenario{name: "deliveries", check: checkDeliveries, steps: slices.Concat(
	callbackForTwo(gateway.FullHistory),
	[]step{
		{"resend a delivery", func(w *world, name string) {
			event := w.out.accepted(refusing, items[1])[0].ID
			w.call(name, func(ctx context.Context, g *gateway.Gateway) error {
				_, err := history.New(control.New(g)).ResendDelivery(ctx, caller, ident.Delivery(refusingID, event))
				return err
			})
		}},
		{"it is accepted again", happens(func(o *outside) bool { return len(o.accepted(refusing, items[1])) > 1 })},
		quiet,
	},
)}

// failures is deliveries, but the resend, on a source that keeps a history of
// failures alone.
var failures = scenario{name: "failures", check: checkDeliveries, thin: true, steps: append(callbackForTwo(gateway.FailureHistory), quiet)}

// callbackForTwo is the part that deliveries and failures share.
func callbackForTwo(history gateway.History) []step {
	return []step{
		{"make a source of Direct", called(makeSource(directSource, "direct", directKey, history))},
		makeTenant,
		{"grant it", called(makeGrant("grt_00000000000000000000direct", directSource))},
		{"register an endpoint that holds", called(makeRegistration(holdingID, directSource, holding, false))},
		{"register an endpoint that refuses", called(makeRegistration(refusingID, directSource, refusing, false))},
		{"disable the first registration", called(func(ctx context.Context, g *gateway.Gateway) error {
			_, err := control.New(g).DisableRegistration(ctx, caller, holdingID)
			return err
		})},
		{"call back with three items", func(w *world, name string) {
			w.callBack(name, directSource, directKey, "application/json", w.directBody())
		}},
		{"the second endpoint accepts all", happens(func(o *outside) bool { return o.hasAll(refusing) })},
		{"enable the first registration", called(func(ctx context.Context, g *gateway.Gateway) error {
			_, err := control.New(g).EnableRegistration(ctx, caller, holdingID)
			return err
		})},
		{"release what it held", func(w *world, name string) {
			w.call(name, func(ctx context.Context, g *gateway.Gateway) error {
				_, err := control.New(g).StartRelease(ctx, caller, releaseID, holdingID, control.Span{Since: w.out.Begin.Add(-time.Second)})
				return err
			})
		}},
		{"the first endpoint accepts all", happens(func(o *outside) bool { return o.hasAll(holding) })},
	}
}

// lane is three chats of a group for an ordered registration whose endpoint
// refuses the first one once.
var lane = scenario{name: "lane", check: checkOrder, steps: []step{
	{"make a source of SmartBots", called(makeSource(chatSource, "smartbots", chatKey, gateway.FullHistory))},
	makeTenant,
	{"grant it", called(makeGrant("grt_0000000000000000000smartb0", chatSource))},
	{"register an ordered endpoint", called(makeRegistration(orderedID, chatSource, ordered, true))},
	{"chat", chat(items[0])},
	{"chat again", chat(items[1])},
	{"chat once more", chat(items[2])},
	{"the endpoint accepts all", happens(func(o *outside) bool { return o.hasAll(ordered) })},
	quiet,
}}

// chat says something in the group, a second after what was said before.
func chat(text string) func(*world, string) {
	return func(w *world, name string) {
		w.t.Helper()
		next := time.Now().Add(time.Second)
		w.within(time.Minute, name, func() bool { return time.Now().After(next) })
		w.callBack(name, chatSource, chatKey, "application/x-www-form-urlencoded",
			url.Values{"action": {"group_chat"}, "group_uuid": {groupUUID}, "message": {text}}.Encode())
	}
}

// groupOfApps is a registration by the code of a group, which hears the
// group's chat until the code is changed.
var groupOfApps = scenario{name: "group", check: checkGroup, slow: true, steps: []step{
	makeTenant,
	{"make a source of SmartBots", called(makeSource(chatSource, "smartbots", chatKey, gateway.FullHistory))},
	{"make a group", called(func(ctx context.Context, g *gateway.Gateway) error {
		_, _, err := groups.New(control.New(g), "").CreateGroup(ctx, groupID, groups.GroupChange{Source: chatSource, Name: "A group", UUID: groupUUID, Code: "first code"})
		return err
	})},
	{"set an HTTP callback", called(func(ctx context.Context, g *gateway.Gateway) error {
		_, err := groups.New(control.New(g), "").SetHTTPCallback(ctx, caller, groups.CallbackRequest{
			Group: "a group", Secret: "first code", AppName: "App", AppUUID: appUUID, URL: "https://" + chatting + "/hook",
		})
		return err
	})},
	{"the app hears that it is set", happens(func(o *outside) bool { return len(o.accepted(chatting, "callback_set")) > 0 })},
	{"chat in the group", chat("hello")},
	{"the app hears it", happens(func(o *outside) bool { return len(o.accepted(chatting, "group_chat")) > 0 })},
	{"change the group's code", called(func(ctx context.Context, g *gateway.Gateway) error {
		_, err := groups.New(control.New(g), "").ChangeGroup(ctx, control.Operator(), groupID, groups.GroupChange{Code: "second code"})
		return err
	})},
	{"the app hears that it is removed", happens(func(o *outside) bool { return len(o.accepted(chatting, "callback_removed")) > 0 })},
	quiet,
}}

// makeTenant makes the tenant of all registrations.
var makeTenant = step{"make a tenant", called(func(ctx context.Context, g *gateway.Gateway) error {
	_, _, err := control.New(g).CreateTenant(ctx, tenant, "a tenant", gateway.Limits{})
	return err
})}

// quiet waits until all that was begun has ended: messages that were received
// in vain come again, and what was handed out in vain falls due, later each time.
var quiet = step{"nothing happens any more", func(w *world, name string) {
	w.within(time.Hour, name, func() bool { return w.unfinished() == "" })
}}

// play plays what is left of a scenario and verifies what came out.
func (w *world) play(sc scenario) {
	w.t.Helper()
	w.start()
	defer w.stop()
	for w.out.Step < len(sc.steps) {
		s := sc.steps[w.out.Step]
		s.do(w, s.name)
		w.out.done()
	}
	w.verify(sc, len(w.out.Hit))
}

// done notes that a step was answered.
func (o *outside) done() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Step++
}

func makeSource(id, provider, secret string, history gateway.History) func(context.Context, *gateway.Gateway) error {
	return func(ctx context.Context, g *gateway.Gateway) error {
		if _, err := control.New(g).CreateSource(ctx, id, control.SourceChange{Provider: provider, Name: &provider, History: &history}); err != nil {
			return err
		}
		_, err := control.New(g).PutCallbackKey(ctx, "cbk_"+strings.Repeat("0", 26), id, "", secret)
		return err
	}
}

func makeGrant(id, source string) func(context.Context, *gateway.Gateway) error {
	return func(ctx context.Context, g *gateway.Gateway) error {
		_, err := control.New(g).CreateGrant(ctx, id, source, tenant, nil)
		return err
	}
}

func makeRegistration(id, source, host string, ordered bool) func(context.Context, *gateway.Gateway) error {
	return func(ctx context.Context, g *gateway.Gateway) error {
		_, _, err := control.New(g).CreateRegistration(ctx, caller, id, source, control.RegistrationChange{URL: new("https://" + host + "/hook"), Ordered: &ordered})
		return err
	}
}

// callBack calls back as a provider that repeats a callback until it is
// accepted.
func (w *world) callBack(what, source, key, contentType, body string) {
	w.t.Helper()
	provider := map[string]string{directSource: "direct", chatSource: "smartbots"}[source]
	w.call(what, func(_ context.Context, g *gateway.Gateway) error {
		r := httptest.NewRequest(http.MethodPost, "/callbacks/"+provider+"/"+source+"/"+key, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		app.Callback(g, provider).ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			return fmt.Errorf("status %d: %s", rec.Code, rec.Body)
		}
		return nil
	})
}

// directBody is the same at each repeat.
func (w *world) directBody() string {
	var b strings.Builder
	for i, item := range items {
		fmt.Fprintf(&b, `%c{"message_uuid":%q,"channel_type":"SMS","callback_event":"delivered","status":"delivered","status_time":%q}`,
			"[,,"[i], item, w.out.Begin.UTC().Format(time.RFC3339))
	}
	return b.String() + "]"
}

// hasAll reports whether host accepted all items.
func (o *outside) hasAll(host string) bool {
	return !slices.ContainsFunc(items[:], func(item string) bool { return len(o.accepted(host, item)) == 0 })
}

// itemOf returns what a delivery is about: the message of a standard one, the
// action of a form.
func itemOf(body []byte) string {
	var standard struct {
		Data struct {
			UUID string `json:"message_uuid"` // of Direct
			Text string `json:"message"`      // of SmartBots
		} `json:"data"`
	}
	if json.Unmarshal(body, &standard) == nil {
		return standard.Data.UUID + standard.Data.Text
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "unreadable"
	}
	return form.Get("action")
}
