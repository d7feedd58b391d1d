package api_test

import (
	"strings"
	"testing"

	"ringback/shared/test/gatewaytest"
)

func TestExportIsTakenByAnotherGateway(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/in", "headers": object{"X-Secret": "a header"}})
	part := w.Want(200, operatorKey, "GET", "/v1/export", nil)
	if got := part.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type %q, want application/x-ndjson", got)
	}
	for _, plain := range []string{"a header", "tencent-token", "direct-password", s.key, r.Text("secret"), w.callbackURL(s.smartbots)} {
		if strings.Contains(part.Raw, plain) {
			t.Errorf("the export holds %q in clear", plain)
		}
	}
	if !strings.Contains(part.Raw, "\n"+`{"kind":"end","data":{"next_cursor":"","signature":"`) {
		t.Errorf("the export ends with %q, want its end without a cursor", part.Raw[max(0, len(part.Raw)-100):])
	}

	to := newWorld(t)
	lines := []string{"Content-Type", "application/x-ndjson"}
	to.Want(200, operatorKey, "POST", "/v1/import?check=true", part.Raw, lines...)
	to.Want(401, s.key, "GET", "/v1/me", nil)
	got := to.Want(200, operatorKey, "POST", "/v1/import", part.Raw, lines...)
	if added, _ := got.Object["added"].(map[string]any); added["registration"] != 1.0 || added["source"] != 3.0 || added["tenant"] != 2.0 {
		t.Errorf("imported %s, want a registration, three sources and two tenants", got.Raw)
	}
	to.Want(200, s.key, "GET", "/v1/registrations/"+r.ID(), nil)
	if a, b := w.callbackURL(s.smartbots), to.callbackURL(s.smartbots); a != b {
		t.Error("the callback URL is another one")
	}
	to.Want(422, operatorKey, "POST", "/v1/import", strings.Replace(part.Raw, `"version":1`, `"version":7`, 1), lines...)
	to.Want(422, operatorKey, "GET", "/v1/export?cursor=nonsense", nil)
	to.Want(413, operatorKey, "POST", "/v1/import", strings.Repeat(part.Raw, 5<<20/len(part.Raw)), lines...)
	to.Want(403, s.key, "GET", "/v1/export", nil)
	to.Want(403, s.key, "POST", "/v1/import", part.Raw, lines...)
}

func TestResealIsAJobOfTheOperators(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	job := w.Want(202, operatorKey, "POST", "/v1/reseal", nil, "Idempotency-Key", "once")
	if again := w.Want(202, operatorKey, "POST", "/v1/reseal", nil, "Idempotency-Key", "once"); again.ID() != job.ID() {
		t.Errorf("repeated as %s, want the same job %s", again.ID(), job.ID())
	}
	var j object
	gatewaytest.Await(t, "its end", func() bool {
		j = w.Want(200, operatorKey, "GET", "/v1/jobs/"+job.ID(), nil).Object
		return j["status"] == "done"
	})
	if j["done"] != 0.0 || j["skipped"] != 0.0 {
		t.Errorf("job %v, want nothing done: all was under the one key", j)
	}
	w.Want(403, s.key, "POST", "/v1/reseal", nil)
}
