package api_test

import (
	"strings"
	"testing"
)

func TestExportIsTakenByAnotherGateway(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/in", "headers": object{"X-Secret": "a header"}})
	part := w.want(200, operatorKey, "GET", "/v1/export", nil)
	if got := part.header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type %q, want application/x-ndjson", got)
	}
	for _, plain := range []string{"a header", "tencent-token", "direct-password", s.key, r.text("secret"), w.callbackURL(s.smartbots)} {
		if strings.Contains(part.raw, plain) {
			t.Errorf("the export holds %q in clear", plain)
		}
	}
	if !strings.Contains(part.raw, "\n"+`{"kind":"end","data":{"next_cursor":"","signature":"`) {
		t.Errorf("the export ends with %q, want its end without a cursor", part.raw[max(0, len(part.raw)-100):])
	}

	to := newWorld(t)
	lines := []string{"Content-Type", "application/x-ndjson"}
	to.want(200, operatorKey, "POST", "/v1/import?check=true", part.raw, lines...)
	to.want(401, s.key, "GET", "/v1/me", nil)
	got := to.want(200, operatorKey, "POST", "/v1/import", part.raw, lines...)
	if added, _ := got.object["added"].(map[string]any); added["registration"] != 1.0 || added["source"] != 3.0 || added["tenant"] != 2.0 {
		t.Errorf("imported %s, want a registration, three sources and two tenants", got.raw)
	}
	to.want(200, s.key, "GET", "/v1/registrations/"+r.id(), nil)
	if a, b := w.callbackURL(s.smartbots), to.callbackURL(s.smartbots); a != b {
		t.Error("the callback URL is another one")
	}
	to.want(422, operatorKey, "POST", "/v1/import", strings.Replace(part.raw, `"version":1`, `"version":7`, 1), lines...)
	to.want(422, operatorKey, "GET", "/v1/export?cursor=nonsense", nil)
	to.want(413, operatorKey, "POST", "/v1/import", strings.Repeat(part.raw, 5<<20/len(part.raw)), lines...)
	to.want(403, s.key, "GET", "/v1/export", nil)
	to.want(403, s.key, "POST", "/v1/import", part.raw, lines...)
}

func TestResealIsAJobOfTheOperators(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	job := w.want(202, operatorKey, "POST", "/v1/reseal", nil, "Idempotency-Key", "once")
	if again := w.want(202, operatorKey, "POST", "/v1/reseal", nil, "Idempotency-Key", "once"); again.id() != job.id() {
		t.Errorf("repeated as %s, want the same job %s", again.id(), job.id())
	}
	var j object
	await(t, "its end", func() bool {
		j = w.want(200, operatorKey, "GET", "/v1/jobs/"+job.id(), nil).object
		return j["status"] == "done"
	})
	if j["done"] != 0.0 || j["skipped"] != 0.0 {
		t.Errorf("job %v, want nothing done: all was under the one key", j)
	}
	w.want(403, s.key, "POST", "/v1/reseal", nil)
}
