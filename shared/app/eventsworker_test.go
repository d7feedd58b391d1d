package app_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"

	"ringback/shared/app"
	"ringback/shared/cloud"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

// A wantedBatch is what a committed batch of messages comes to.
type wantedBatch struct {
	again []int    // places of the messages that must come again
	types string   // of the events that were begun, in order of their names
	from  []string // the callbacks that became its messages; empty: none did
}

// wantedBatches names every Lambda input of the worker.
var wantedBatches = map[string]wantedBatch{
	"worker-smartbots.json":              {nil, "group_chat", []string{"smartbots-group-chat.json"}},
	"worker-smartbots-deflated.json":     {nil, "caf\uFFFD", []string{"smartbots-latin-1.json"}},
	"worker-tencentchat.json":            {nil, "Bot.OnGroupMessage", []string{"tencentchat-bot-on-group-message.json"}},
	"worker-direct.json":                 {nil, "delivered", []string{"direct-delivered.json"}},
	"worker-direct-packed.json":          {nil, "click delivered inbound_sent price read sent", []string{"direct-all-events.json"}},
	"worker-direct-bad-items.json":       {nil, "delivered" + strings.Repeat(" direct.unreadable", 8), []string{"direct-bad-items.json"}},
	"worker-batch.json":                  {nil, "Push.OfflinePush Push.OfflinePush group_message read tencent-chat.unreadable tencent-chat.unreadable", []string{"smartbots-group-message.json", "tencentchat-push-offline-batch.json", "direct-read.json"}},
	"worker-poison.json":                 {[]int{0}, "", []string{""}},
	"worker-poison-in-batch.json":        {[]int{1}, "instant_message sent", []string{"direct-sent.json", "", "smartbots-instant-message.json"}},
	"worker-newer-format.json":           {[]int{0}, "", []string{""}},
	"worker-retry-unknown-delivery.json": {nil, "", []string{""}},
	"worker-slow-unknown-delivery.json":  {nil, "", []string{""}},
	"worker-retry-poison.json":           {[]int{0}, "", []string{""}},
}

// tickEvent is the Lambda input of the schedule.
const tickEvent = "retry-tick.json"

func TestBatchFromLambdaIsFannedOutAndDelivered(t *testing.T) {
	proofs.Long(t)
	for name, want := range wantedBatches {
		t.Run(name, func(t *testing.T) {
			idle(t, func(t *testing.T, w *world) {
				w.registerSamples(sampleSmartBots, sampleTencent, sampleDirect)
				e := readEvent[lambdaevents.SQSEvent](t, name)
				if diff := gocmp.Diff(want.again, w.handle(e)); diff != "" {
					t.Errorf("messages that must come again (-want +got):\n%s", diff)
				}
				events := w.sampleEvents()
				if got := strings.Join((outcome{Events: events}).types(), " "); got != want.types {
					t.Errorf("events %q, want %q", got, want.types)
				}
				if posts := w.samplePosts(); len(posts) != 2*forTenants(events) {
					t.Errorf("%d deliveries of %d events in both formats", len(posts), forTenants(events))
				}
			})
		})
	}
}

func TestBatchFromLambdaTwiceIsDeliveredOnce(t *testing.T) {
	idle(t, func(t *testing.T, w *world) {
		w.registerSamples(sampleDirect)
		e := readEvent[lambdaevents.SQSEvent](t, "worker-direct-packed.json")
		for range 2 {
			if again := w.handle(e); again != nil {
				t.Errorf("messages %v must come again, want none", again)
			}
			time.Sleep(2 * time.Hour) // virtual: longer than any lease
		}
		if posts := w.samplePosts(); len(posts) != 2*6 {
			t.Errorf("%d deliveries of 6 events in both formats", len(posts))
		}
	})
}

var writeEvents = flag.Bool("write-events", false, "write the messages that ingest sends now into events/")

// TestMessagesOfBatchesAreThoseThatIngestSends keeps the committed messages
// true: each is what its callback becomes but for the token, and the id where
// that is random. After a change of either, run it with -write-events.
func TestMessagesOfBatchesAreThoseThatIngestSends(t *testing.T) {
	proofs.Long(t)
	for name, want := range wantedBatches {
		for i, record := range readEvent[lambdaevents.SQSEvent](t, name).Records {
			if want.from[i] == "" {
				continue
			}
			t.Run(fmt.Sprintf("%s from %s", name, want.from[i]), func(t *testing.T) {
				idle(t, func(t *testing.T, w *world) {
					sent := w.ingested(readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, want.from[i]))
					if len(sent) != 1 {
						t.Fatalf("ingest sends %d messages, want 1", len(sent))
					}
					diff := gocmp.Diff(parsed(t, record.Body), parsed(t, sent[0]), sameButIDs)
					if diff != "" && *writeEvents {
						replaceMessage(t, name, record.Body, sent[0])
					} else if diff != "" {
						t.Errorf("message (-committed +sent):\n%s", diff)
					}
				})
			})
		}
	}
}

func TestMessagesOfBatchesHaveTheirMD5(t *testing.T) {
	for name := range wantedBatches {
		for _, record := range readEvent[lambdaevents.SQSEvent](t, name).Records {
			if want := md5Of(record.Body); record.Md5OfBody != want {
				t.Errorf("%s: message %s has MD5 %s, want %s", name, record.MessageId, record.Md5OfBody, want)
			}
		}
	}
}

func TestTickFromLambdaHandsOutWhatIsDue(t *testing.T) {
	idle(t, func(t *testing.T, w *world) {
		w.registerSamples(sampleDirect)
		for _, at := range w.endpoints.At {
			at.RespondWith(gatewaytest.Always(http.StatusInternalServerError))
		}
		if again := w.handle(readEvent[lambdaevents.SQSEvent](t, "worker-direct.json")); again != nil {
			t.Fatalf("messages %v must come again, want none", again)
		}
		time.Sleep(time.Hour) // virtual: the worker's own message was lost, so both deliveries are due
		before := w.waiting()
		tick := cloud.Schedule(w.g.Retry)
		if err := tick(t.Context(), readEvent[json.RawMessage](t, tickEvent)); err != nil {
			t.Fatal(err)
		}
		if got := w.waiting() - before; got != 2 {
			t.Errorf("the tick sent %d messages, want one for each of 2 due deliveries", got)
		}
	})
}

// idle runs f with a world that has the sample sources but no worker and no
// schedule of its own.
func idle(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dir := sampleDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: &gatewaytest.Lines{}}
		db, err := embedded.Open(t.Context(), dir, embedded.Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		w.db = db
		w.g = w.gatewayOver(db)
		w.g.Egress.Transport = &w.endpoints
		f(t, w)
	})
}

// gatewayOver is a gateway on the world's file that sends to q.
func (w *world) gatewayOver(q storage.Queue) *gateway.Gateway {
	w.t.Helper()
	cfg := gatewaytest.Config(w.t)
	return gatewaytest.Must(app.New(cfg, app.Parts{Steps: transfer.Steps,
		Store: w.db, Queue: q, Keys: gatewaytest.Keys(w.t, gatewaytest.KeyRing), Providers: all.Providers(), Log: w.log.Logger(),
	}))(w.t)
}

// handle gives a batch to the handler of its queue, as the worker's main does,
// and returns the places of the messages that must come again.
func (w *world) handle(e lambdaevents.SQSEvent) []int {
	w.t.Helper()
	h := w.g.FanOut
	switch arn := e.Records[0].EventSourceARN; {
	case strings.HasSuffix(arn, "-retry"):
		h = w.g.Redeliver
	case strings.HasSuffix(arn, "-slow"):
		h = w.g.RedeliverSlow
	}
	resp, err := cloud.SQS(h)(w.t.Context(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	var again []int
	for _, f := range resp.BatchItemFailures {
		again = append(again, slices.IndexFunc(e.Records, func(m lambdaevents.SQSMessage) bool { return m.MessageId == f.ItemIdentifier }))
	}
	return again
}

// waiting counts the messages of the retry queue.
func (w *world) waiting() int {
	w.t.Helper()
	d := gatewaytest.Must(w.g.Queue.Depth(w.t.Context(), storage.RetryQueue))(w.t)
	return d.Waiting + d.Delayed + d.InFlight
}

// ingested returns the messages that a callback becomes at the time of its event.
func (w *world) ingested(e lambdaevents.APIGatewayV2HTTPRequest) []string {
	w.t.Helper()
	q := &sent{Queue: w.db}
	r := plainRequest(w.t, e)
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		body = decodeBase64(w.t, e.Body)
	}
	path := strings.Split(e.RawPath, "/")
	reply := w.gatewayOver(q).Ingest(w.t.Context(), path[2], path[3], path[4], &provider.Callback{
		Method: r.Method, Query: e.RawQueryString, Header: r.Header, Body: body,
		From: netip.MustParseAddr(e.RequestContext.HTTP.SourceIP), Received: time.UnixMilli(e.RequestContext.TimeEpoch),
	})
	if reply.StatusCode != http.StatusOK {
		w.t.Fatalf("ingest answers %d", reply.StatusCode)
	}
	return q.bodies
}

// sent is a Queue that keeps what is sent.
type sent struct {
	storage.Queue
	bodies []string
}

func (q *sent) Send(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
	for _, m := range ms {
		q.bodies = append(q.bodies, m.Body)
	}
	return make([]error, len(ms))
}

// replaceMessage writes another message in the place of one in events/.
func replaceMessage(t *testing.T, name, old, now string) {
	t.Helper()
	path := filepath.Join(eventsFolder, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(quoted(t, old), quoted(t, now), md5Of(old), md5Of(now)).Replace(string(text))
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// quoted is text as it stands in events/.
func quoted(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func md5Of(body string) string { return fmt.Sprintf("%x", md5.Sum([]byte(body))) }

// parsed returns a message's header, without what is random in it, and payload.
func parsed(t *testing.T, body string) []any {
	t.Helper()
	line, payload, _ := strings.Cut(body, "\n")
	var header map[string]any
	if err := json.Unmarshal([]byte(line), &header); err != nil {
		t.Fatalf("message header: %v", err)
	}
	delete(header, "t")
	source, _ := header["s"].(string)
	for _, e := range header["e"].([]any) {
		e := e.(map[string]any)
		e["id"] = nameless(source, e["id"].(string))
	}
	return []any{header, payload}
}
