package api_test

import (
	"testing"
)

func TestOperatorSetsUpAndTenantRegisters(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	a := w.want(201, s.key, "POST", "/v1/registrations", object{
		"source": s.tencent, "url": "https://tenant.example/hook", "event_types": []string{"Bot.*"}, "match": object{"bot": []string{"@RBT#001"}},
	})
	t.Log(a.raw)
	t.Log(w.call(s.key, "GET", "/v1/registrations/"+a.id(), nil).raw)
	t.Log(w.call(s.key, "GET", "/v1/me", nil).raw)
	t.Log(w.call(s.key, "GET", "/v1/sources", nil).raw[:300])
	t.Log(w.call(operatorKey, "GET", "/v1/sources", nil).raw)
	t.Log(w.call(s.key, "GET", "/v1/deliveries", nil).raw)
	t.Log(w.call("", "GET", "/openapi.json", nil).raw[:300])
	t.Log(w.call("", "GET", "/nothing/here", nil).raw)
	t.Log(w.call("", "PUT", "/v1/me", nil).raw)
	t.Log(w.call(s.key, "POST", "/v1/registrations", object{"sauce": "x", "url": 5}).raw)
	t.Log(w.call(s.key, "POST", "/v1/registrations", `{"source":"`+s.tencent+`","url":"https://tenant.example/hook","schedule":["1s"],"event_types":["x"]}`).raw)
	t.Log(w.log.last(3))
}
