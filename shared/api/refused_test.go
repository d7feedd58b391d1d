package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ringback/shared/api/apitest"
	"ringback/shared/test/proofs"
)

// What a refused request may cost, whatever was sent: bytes of its answer and of
// the log, and bytes allocated while it is judged, beside those of its own length
// that reading JSON takes.
const (
	maxAnswer = 20 << 10
	maxLine   = 2 << 10
	perByte   = 100
	perCall   = 512 << 10
)

// A sent is a request that is to be refused, as long as n says.
type sent struct {
	name string
	body func(n int) string // nil: none
	long func(path string, n int) string
}

// list returns n of what item makes, with sep between them.
func list(n int, sep string, item func(i int) string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(item(i))
	}
	return b.String()
}

// values are JSON values that no field may have, as long as n says.
var values = map[string]func(n int) string{
	"many texts": func(n int) string {
		return "[" + list(n, ",", func(i int) string { return fmt.Sprintf(`"t%d"`, i) }) + "]"
	},
	"many numbers": func(n int) string { return "[" + list(n, ",", func(i int) string { return fmt.Sprint(i) }) + "]" },
	"many members": func(n int) string {
		return "{" + list(n, ",", func(i int) string { return fmt.Sprintf(`"k%d":[%d]`, i, i) }) + "}"
	},
	"many lists": func(n int) string {
		return `{"label":[` + list(n, ",", func(i int) string { return fmt.Sprintf(`"v%d"`, i) }) + "]}"
	},
	"deep":          func(n int) string { n = min(n, 4_000); return strings.Repeat(`{"a":[`, n) + strings.Repeat("]}", n) },
	"a long text":   func(n int) string { return `"` + strings.Repeat(`\u0001`, n) + `"` },
	"a long number": func(n int) string { return "1" + strings.Repeat("0", 4*n) },
}

// requests returns what is sent to op, an operation of the document.
func requests(op *openapi3.Operation) []sent {
	var out []sent
	add := func(name string, body func(n int) string) { out = append(out, sent{name: name, body: body}) }
	long := func(name string, long func(path string, n int) string) {
		out = append(out, sent{name: name, long: long})
	}
	long("many names in the query", func(path string, n int) string {
		return path + "?" + list(n, "&", func(i int) string { return fmt.Sprintf("k%d", i) })
	})
	long("a name of many dots in the query", func(path string, n int) string { return path + "?" + strings.Repeat(".", n) })
	for _, p := range op.Parameters {
		if p.Value.In == "query" {
			long("query "+p.Value.Name, func(path string, n int) string { return path + "?" + p.Value.Name + "=" + strings.Repeat("9", n) })
		}
	}
	if op.RequestBody == nil {
		return out
	}
	add("a name of many dots", func(n int) string { return `{"` + strings.Repeat(".", n) + `":1}` })
	for name, v := range values {
		add("body "+name, v)
	}
	media := op.RequestBody.Value.Content["application/json"]
	if media == nil {
		add("many lines", func(n int) string {
			return list(n, "\n", func(i int) string { return fmt.Sprintf(`{"kind":"k%d"}`, i) })
		})
		return out
	}
	// Other fields are as they should be, so that what judges this one is reached.
	right := map[string]json.RawMessage{"source": json.RawMessage(`"SOURCE"`), "url": json.RawMessage(`"https://tenant.example/in"`), "provider": json.RawMessage(`"smartbots"`),
		"name": json.RawMessage(`"n"`), "tenant": json.RawMessage(`"TENANT"`), "scope": json.RawMessage(`"full"`), "since": json.RawMessage(`"2026-03-01T09:15:02Z"`)}
	properties := media.Schema.Value.Properties
	for field := range properties {
		for name, v := range values {
			add(field+" "+name, func(n int) string {
				fields := map[string]json.RawMessage{}
				for name := range properties {
					if raw, ok := right[name]; ok {
						fields[name] = raw
					}
				}
				if field == "match" { // beside as many types
					fields["event_types"] = json.RawMessage(values["many texts"](min(n, 100)))
				}
				fields[field] = json.RawMessage(v(n))
				raw, err := json.Marshal(fields)
				if err != nil {
					panic(err)
				}
				return string(raw)
			})
		}
	}
	return out
}

// eachRefused calls f with what is sent to each operation.
func eachRefused(t testing.TB, w *world, f func(name string, call func(n int) (r *http.Request, rec *httptest.ResponseRecorder))) {
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	s := w.setting()
	w.group(s)
	reg := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/in"}).ID()
	ids := map[string]string{"registrations": reg, "sources": s.smartbots, "tenants": s.tenant}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		for method, op := range doc.Paths.Map()[path].Operations() {
			if !strings.HasPrefix(path, "/v1/") || method == http.MethodDelete && op.RequestBody != nil {
				continue
			}
			at := path
			if part := strings.Split(path, "/"); len(part) > 3 && ids[part[2]] != "" {
				at = strings.Replace(at, "{id}", ids[part[2]], 1)
			}
			at = strings.NewReplacer("{id}", "x_1", "{key}", "x", "{grant}", "x", "{app}", "x", "{n}", "1", "{queue}", "x").Replace(at)
			key := operatorKey
			if method != http.MethodDelete && w.Call(key, method, at, "{}").Code == http.StatusForbidden {
				key = s.key
			}
			contentType := "application/json"
			if op.OperationID == "import" {
				contentType = "application/x-ndjson"
			}
			for _, q := range requests(op) {
				f(method+" "+path+", "+q.name, func(n int) (*http.Request, *httptest.ResponseRecorder) {
					to, body := at, ""
					if q.long != nil {
						to = q.long(at, n)
					} else {
						body = strings.NewReplacer("SOURCE", s.smartbots, "TENANT", s.tenant).Replace(q.body(n))
					}
					r := httptest.NewRequest(method, to, strings.NewReader(body))
					r.Header.Set("Content-Type", contentType)
					r.Header.Set("Authorization", "Bearer "+key)
					return r, httptest.NewRecorder()
				})
			}
		}
	}
}

// TestRefusedRequestCostsLittle sends what no operation takes to each, and
// wants answer, log and work to be bounded. Work that grows faster than the
// request is far over what is allocated a byte.
func TestRefusedRequestCostsLittle(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	judged := 0
	eachRefused(t, w, func(name string, made func(n int) (*http.Request, *httptest.ResponseRecorder)) {
		r, rec := made(2_000)
		bytes := int(r.ContentLength) + len(r.RequestURI)
		w.Log.Take()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w.Handler.ServeHTTP(rec, r)
		runtime.ReadMemStats(&after)
		if rec.Code < 400 {
			return
		}
		judged++
		if n := rec.Body.Len(); n > maxAnswer {
			t.Errorf("%s: answer of %d bytes to %d: %.200s…", name, n, bytes, rec.Body)
		}
		if n := len(w.Log.String()); n > maxLine {
			t.Errorf("%s: log of %d bytes for %d: %.200s…", name, n, bytes, w.Log.String())
		}
		if work := int(after.TotalAlloc - before.TotalAlloc); work > perCall+perByte*bytes {
			t.Errorf("%s: %d bytes allocated for %d that were sent", name, work, bytes)
		}
		if rec.Code >= 500 || rec.Code == 403 || rec.Code == 401 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	})
	if judged < 900 {
		t.Errorf("%d requests were refused, want more than 900", judged)
	}
}

// BenchmarkRefused tells the CPU of the dearest requests of 100 kB.
func BenchmarkRefused(b *testing.B) {
	w := newWorld(b)
	eachRefused(b, w, func(name string, made func(n int) (*http.Request, *httptest.ResponseRecorder)) {
		n := 1_000
		for n < 100_000 {
			if r, _ := made(n); r.ContentLength+int64(len(r.RequestURI)) >= 100_000 {
				break
			}
			n *= 2
		}
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				r, rec := made(n)
				b.StartTimer()
				w.Handler.ServeHTTP(rec, r)
			}
		})
	})
}
