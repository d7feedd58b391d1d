package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/limiter"
	"ringback/shared/provider"
)

// The load. Endpoints respond after medianTime (the median of a log-normal distribution), and one of a hundred after
// slowest times as long: 2.326 is the normal distribution's 99th percentile.
const (
	busyShare         = 0.2 // of all callbacks, for one registration of one tenant
	sourceRate        = 10  // callbacks a second of each other source
	registrationsEach = 20  // of it, for one of which an event is; the last one's endpoint is dead: it hangs, or responds 500
	networkTime       = 20 * time.Millisecond
	medianTime        = 150 * time.Millisecond
	slowest           = 6.0
)

// A registration is one of the sample, by number; the first is the busy one.
type registration int

func (r registration) id(prefix string) string { return fmt.Sprintf("%s_%026d", prefix, r) }
func (r registration) host() string            { return strconv.Itoa(int(r)) + ".example" }
func (r registration) source() int             { return (int(r) + registrationsEach - 1) / registrationsEach }
func (r registration) last() bool              { return r > 0 && r%registrationsEach == 0 }
func (r registration) hangs() bool             { return r.last() && r.source()%2 == 1 }

func sourceID(n int) string    { return fmt.Sprintf("src-b%07d", n) }
func callbackKey(n int) string { return fmt.Sprintf("%032d", n) }

// uses returns how many of the whole one use of what is named by text, a key or a message's body, stands for: n if it
// is of the busy source.
func (w *world) uses(text string) float64 {
	if strings.Contains(text, sourceID(0)) || strings.Contains(text, registration(0).id("reg")) {
		return w.n
	}
	return 1
}

// populate makes the sources of the sample, and for each registration a tenant, with the gateway's own verbs.
func (w *world) populate() error {
	g := w.newGateway("")
	ctx, c := context.Background(), control.New(g)
	sources := w.s.Rate * (1 - busyShare) / sourceRate
	w.registrations = 1 + registrationsEach*max(int(sources/w.n+0.5), 1)
	speeds := limiter.NewSpeedStore(g.Store, gateway.SpeedsKey, time.Now)
	var errs [6]error
	for n := range w.registrations {
		r := registration(n)
		source, tenant, url, app := sourceID(r.source()), r.id("ten"), "https://"+r.host()+"/hook", uint64(1400000001+r.source())
		if n%registrationsEach == 1 || n == 0 {
			_, errs[0] = c.CreateSource(ctx, source, control.SourceChange{Provider: "tencent-chat", Name: &source, SDKAppID: &app})
			_, errs[1] = c.PutCallbackKey(ctx, r.id("cbk"), source, "", callbackKey(r.source()))
		}
		_, _, errs[2] = c.CreateTenant(ctx, tenant, "a tenant", gateway.Limits{})
		_, errs[3] = c.CreateGrant(ctx, r.id("grt"), source, tenant, nil)
		_, _, errs[4] = c.CreateRegistration(ctx, control.Caller{Scope: control.ScopeFull, Tenant: tenant}, r.id("reg"), source, control.RegistrationChange{
			URL: &url, EventTypes: &[]string{"*"}, Match: &gateway.Match{"group": {r.host()}},
		})
		if !r.last() { // it is known to be fast, as it is a moment after its first delivery
			fast := limiter.Outcome{Attempted: true, Succeeded: true, Took: time.Millisecond}
			errs[5] = speeds.Record(ctx, tenant, r.id("reg"), url, fast, limiter.Stats{Quick: 1})
		}
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
	}
	return nil
}

// request is a callback of 1 KiB about a group's message. Random is its number.
func request(number int, r registration) *provider.Callback {
	head := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":%q,"Type":"Public","From_Account":"user-0001",`+
		`"Operator_Account":"user-0001","Random":%d,"MsgSeq":%[2]d,"MsgTime":%[3]d,"OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem",`+
		`"MsgContent":{"Text":"`, r.host(), number, time.Now().Unix())
	return &provider.Callback{
		Method: http.MethodPost, Received: time.Now().UTC(), Header: http.Header{"Content-Type": {"application/json"}},
		Query: fmt.Sprintf("SdkAppid=%d&CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json&ClientIP=192.0.2.7&OptPlatform=iOS", 1400000001+r.source()),
		Body:  fmt.Appendf(nil, `%s%0*d"}}],"CloudCustomData":""}`, head, 998-len(head), 0),
	}
}

// numberIn returns the number in what request returned; -1 if b is of something else.
func numberIn(b []byte) int {
	_, rest, _ := bytes.Cut(b, []byte(`"Random":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	if n, err := strconv.Atoi(string(digits)); err == nil {
		return n
	}
	return -1
}

// endpoints are those of all tenants, in place of the network.
type endpoints struct{ w *world }

func (e endpoints) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body) // it is in memory
	n, _ := strconv.Atoi(strings.TrimSuffix(r.URL.Host, ".example"))
	time.Sleep(networkTime)
	status, to := http.StatusOK, registration(n)
	switch {
	case to.hangs():
		<-r.Context().Done()
		return nil, r.Context().Err()
	case to.last():
		status = http.StatusInternalServerError
	default:
		e.w.arrived(numberIn(body))
	}
	spread := math.Log(slowest) / 2.326 * e.w.random(string(body[:300])).NormFloat64()
	time.Sleep(time.Duration(float64(medianTime) * math.Exp(spread)))
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
