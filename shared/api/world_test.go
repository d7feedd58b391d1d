package api_test

import (
	"net/http"
	"net/netip"
	"testing"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/cloud/cloudtest"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

const operatorKey = gatewaytest.OperatorKey

type object = gatewaytest.Object

// A world is an API over a gateway, without a worker unless it is started.
type world struct {
	*gatewaytest.API
	t     testing.TB
	g     *gateway.Gateway
	serve gatewaytest.Serve
}

// newWorld returns one on the embedded backend.
func newWorld(t testing.TB) *world {
	t.Helper()
	db := gatewaytest.Open(t)
	w := newWorldOver(t, db, db, gatewaytest.On(db, embedded.Consumer{Concurrency: 4}))
	w.g.SingleProcess = true
	return w
}

// newWorldOnAWS returns one on the cloud backend.
func newWorldOnAWS(t testing.TB) *world {
	t.Helper()
	out := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(out.CloseIdleConnections)
	b := cloudtest.Open(t, dynamotest.Endpoint(t), out)
	return newWorldOver(t, b.Store, b.Queue, b.Serve)
}

// onBoth runs f on either backend; with -short, on the embedded one alone.
func onBoth(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("embedded", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("on AWS", func(t *testing.T) {
		proofs.Long(t)
		f(t, newWorldOnAWS(t))
	})
}

func newWorldOver(t testing.TB, s storage.Store, q storage.Queue, serve gatewaytest.Serve) *world {
	t.Helper()
	log := &gatewaytest.Lines{}
	g := gatewaytest.New(t, gateway.Config{
		Store: s, Queue: q, Log: log.Logger(),
		Egress: &egress.Client{OwnHosts: []string{"ringback.example"}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	g.Steps = transfer.Steps(g)
	h := apitest.New(t, g, api.Config{OperatorKey: operatorKey})
	return &world{API: &gatewaytest.API{T: t, Handler: h, Log: log}, t: t, g: g, serve: serve}
}

// work runs the worker until the test ends.
func (w *world) work() {
	stop := gatewaytest.Run(w.g, w.serve, 0)
	w.t.Cleanup(func() { stop(); w.g.Egress.CloseIdle() })
}

// A setting is a source of each provider and two tenants, the first with a
// grant of each source.
type setting struct {
	tencent, direct, smartbots string // sources
	tenant, key                string // with grants
	other, otherKey            string // without
}

func (w *world) setting() setting {
	w.t.Helper()
	op := operatorKey
	var s setting
	s.tencent = w.Want(201, op, "POST", "/v1/sources", object{"provider": "tencent-chat", "name": "chat", "sdk_app_id": 1400000001, "token": "tencent-token"}).ID()
	s.direct = w.Want(201, op, "POST", "/v1/sources", object{"provider": "direct", "name": "sms", "basic": object{"login": "ringback", "password": "direct-password"}}).ID()
	s.smartbots = w.Want(201, op, "POST", "/v1/sources", object{"provider": "smartbots", "name": "bots"}).ID()
	limits := object{"api_calls_per_second": 100000}
	a := w.Want(201, op, "POST", "/v1/tenants", object{"name": "acme", "limits": limits})
	s.tenant, s.key = a.ID(), a.Text("api_key")
	b := w.Want(201, op, "POST", "/v1/tenants", object{"name": "other", "limits": limits})
	s.other, s.otherKey = b.ID(), b.Text("api_key")
	for _, source := range []string{s.tencent, s.direct, s.smartbots} {
		w.Want(201, op, "POST", "/v1/sources/"+source+"/grants", object{"tenant": s.tenant})
	}
	return s
}
