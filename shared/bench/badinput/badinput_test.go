package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

func TestBadInputNeitherPanicsNorFailsNorIsLost(t *testing.T) {
	requests := uint64(20_000)
	if testing.Short() {
		requests = 2_000
	}
	for name := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := plan{requests: requests, seed: 7, every: 250, seeds: "../../provider"}.run(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.findings {
				t.Errorf("request %d: %.500v\n%.2000q", f.number, f.err, f.raw)
			}
			for _, what := range r.problems() {
				t.Error(what)
			}
			if r.requests != int(requests) || r.recognised != r.accepted {
				t.Errorf("%d requests, %d accepted, %d recognised when they came again; want all %d", r.requests, r.accepted, r.recognised, requests)
			}
			t.Log(r)
		})
	}
}

// TestEachPlantedBugIsReported plants one bug at a time and wants it named.
func TestEachPlantedBugIsReported(t *testing.T) {
	for _, tt := range []struct {
		name     string
		provider string
		plant    plant
		want     string
	}{
		{"a provider that panics", "direct", onReading(func(r *provider.Reading) {
			_ = r.Items[3]
		}), "panic: runtime error: index out of range"},
		{"an answer of 500", "tencent-chat", plant{handler: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "PUT" {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				h.ServeHTTP(w, r)
			})
		}}, "status 500"},
		{"a refusal that repeats what came", "smartbots", plant{handler: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				fmt.Fprint(w, r.URL)
			})
		}}, "none of the provider's"},
		{"a provider that loses a byte", "smartbots", onReading(func(r *provider.Reading) {
			it := &r.Items[0]
			it.Payload = it.Payload[:max(len(it.Payload)-1, 0)]
		}), "not the 1 parts of the body"},
		{"a provider that loses an item", "direct", onReading(func(r *provider.Reading) {
			r.Items = r.Items[min(len(r.Items), 1):]
		}), "parts of the body"},
		{"a message that loses a byte", "direct", onMessage(func(m *storage.Message) {
			m.Body = strings.Replace(m.Body, "message_uuid", "message-uuid", 1)
		}), "came out of the message as"},
		{"a message that is not sent", "tencent-chat", plant{queue: func(q storage.Queue) storage.Queue {
			return sends{q, func(context.Context, []storage.Message) {}, true}
		}}, "0 events in the messages, want 1"},
		{"an event whose type changes", "tencent-chat", onMessage(func(m *storage.Message) {
			m.Body = strings.Replace(m.Body, `"y":"Bot.`, `"y":"Bit.`, 1)
		}), "came out of the message as"},
		{"a repeat that is not recognised", "direct", onReading(func(r *provider.Reading) {
			for i := range r.Items {
				r.Items[i].NaturalKey += storage.NewRev()
			}
		}), "other event ids"},
		{"a natural key where there is none", "smartbots", onReading(func(r *provider.Reading) {
			r.Items[0].NaturalKey = string(r.Items[0].Payload)
			r.Items[0].StableTime = time.Now().Truncate(24 * time.Hour)
		}), "the same id, though people say the same twice"},
		{"an event that the worker cannot store", "smartbots", onReading(func(r *provider.Reading) {
			r.ContentType = strings.Repeat("<", 400<<10/6)
		}), "too large"},
		{"a delivery that is no JSON", "direct", plant{provider: func(p provider.Provider) provider.Provider {
			return cutData{p}
		}}, "deliveries could not be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := plan{requests: 1500, seed: 1, every: 20, seeds: "../../provider", plant: tt.plant}.run(t.Context(), tt.provider)
			if err != nil {
				t.Fatal(err)
			}
			reports := r.problems()
			for _, f := range r.findings {
				reports = append(reports, f.err.Error())
			}
			if all := strings.Join(reports, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("reports are %.2000q, want one with %q", all, tt.want)
			}
		})
	}
}

func TestRequestsFollowFromTheSeed(t *testing.T) {
	now := time.Now()
	for name := range sources {
		seeds, err := readSeeds("../../provider", name, now)
		if err != nil {
			t.Fatal(err)
		}
		a := maker{chance: newChance(), provider: name, seeds: seeds, words: words[name]}
		b := maker{chance: newChance(), provider: name, seeds: seeds, words: words[name]}
		different := map[string]bool{}
		for n := range uint64(200) {
			first := bytes.Clone(a.make(3, n, now))
			b.make(3, n+1, now) // what came before does not matter
			if second := b.make(3, n, now); !bytes.Equal(first, second) {
				t.Fatalf("%s, request %d: %q and %q", name, n, first, second)
			}
			different[string(first)] = true
		}
		if len(different) < 150 {
			t.Errorf("%s: %d different requests of 200", name, len(different))
		}
	}
}

func TestFindingIsPlayedAgain(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	r := request{method: "POST", path: path("tencent-chat"), query: "SdkAppid=1400123456&CallbackCommand=State.StateChange", body: []byte(`{"EventTime":1}`)}
	r.prove("tencent-chat", old)
	file := filepath.Join(t.TempDir(), "finding.http")
	if err := os.WriteFile(file, r.write(nil), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := start(t.Context(), []string{"-replay", file}, &out); err != nil || !strings.Contains(out.String(), "tencent-chat: status 200") {
		t.Errorf("replay of a request signed an hour ago: %v, %s", err, out.String())
	}
}

func TestLargestCallbackIsKeptWhateverItsHeaderHolds(t *testing.T) {
	w := testWorld(t)
	for name := range sources {
		r := request{method: "POST", path: path(name), query: "SdkAppid=1400123456&CallbackCommand=Push.X&ClientIP=" + strings.Repeat("<", 4000)}
		keys := `"message_uuid":"m","GroupId":"` + strings.Repeat("<", 1000) + `","channel":"` + strings.Repeat("<", 1000) + `","text":"`
		r.body = []byte("{" + keys + strings.Repeat("x", provider.MaxPayloadBytes-len(keys)-3) + `"}`)
		r.set("Content-Type", "application/json; a="+strings.Repeat("<", 20_000))
		r.prove(name, time.Now())
		j := newJudge(name, w)
		if err := j.judge(t.Context(), r.write(nil), true); err != nil || j.accepted != 1 {
			t.Errorf("%s: %v, accepted %d, want 1", name, err, j.accepted)
		}
	}
	if err := w.drained(t.Context()); err != nil || len(w.faults.told()) > 0 {
		t.Errorf("the worker: %v, %.500q, want no fault", err, w.faults.told())
	}
}

func testWorld(t *testing.T) *world {
	t.Helper()
	w, err := newWorld(t.Context(), plant{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// changed is a provider whose readings are changed, first by the handler and
// then by the judge, who calls it too.
type changed struct {
	provider.Provider
	change func(*provider.Reading)
}

func onReading(change func(*provider.Reading)) plant {
	return plant{provider: func(p provider.Provider) provider.Provider { return changed{p, change} }}
}

func (c changed) Parse(cb *provider.Callback) (provider.Reading, error) {
	r, err := c.Provider.Parse(cb)
	if err == nil && len(r.Items) > 0 {
		c.change(&r)
	}
	return r, err
}

// cutData is a provider whose data is cut short.
type cutData struct{ provider.Provider }

func (c cutData) Data(e *provider.Event) (data json.RawMessage, err error) {
	data, err = c.Provider.Data(e)
	return data[:len(data)/2], err
}

// sends is a queue whose messages are changed, or lost, on their way.
type sends struct {
	storage.Queue
	change func(context.Context, []storage.Message)
	lose   bool
}

func onMessage(change func(*storage.Message)) plant {
	return plant{queue: func(q storage.Queue) storage.Queue {
		return sends{q, func(_ context.Context, ms []storage.Message) {
			for i := range ms {
				change(&ms[i])
			}
		}, false}
	}}
}

func (s sends) Send(ctx context.Context, q storage.QueueName, ms []storage.Message) []error {
	if s.change(ctx, ms); s.lose {
		return make([]error, len(ms))
	}
	return s.Queue.Send(ctx, q, ms)
}
