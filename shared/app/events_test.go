package app_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"

	"ringback/shared/app"
	"ringback/shared/app/samples"
	"ringback/shared/cloud"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/history"
	"ringback/shared/provider"
	"ringback/shared/test/proofs"
)

const eventsFolder = "../../events"

// A wantedCallback is what a committed callback comes to.
type wantedCallback struct {
	status int
	types  string // of the events that it makes, in order of their names
}

// wantedCallbacks names every Lambda input of the three ingest functions.
var wantedCallbacks = map[string]wantedCallback{
	"smartbots-group-chat.json":                  {200, "group_chat"},
	"smartbots-callback-set.json":                {200, "callback_set"},
	"smartbots-callback-removed.json":            {200, "callback_removed source.disconnected"},
	"smartbots-group-chat-json.json":             {200, "group_chat"},
	"smartbots-group-message.json":               {200, "group_message"},
	"smartbots-group-message-swapped.json":       {200, "group_message"},
	"smartbots-group-message-multipart.json":     {200, "group_message"},
	"smartbots-group-invite.json":                {200, "group_invite"},
	"smartbots-instant-message.json":             {200, "instant_message"},
	"smartbots-chat-message.json":                {200, "chat_message"},
	"smartbots-chat-message-broken-escapes.json": {200, "chat_message"},
	"smartbots-start-typing.json":                {200, "start_typing"},
	"smartbots-start-typing-text.json":           {200, "start_typing"},
	"smartbots-balance-changed.json":             {200, "balance_changed"},
	"smartbots-balance-mislabelled.json":         {200, "balance_changed"},
	"smartbots-online-status.json":               {200, "online_status"},
	"smartbots-teleport-status.json":             {200, "teleport_status"},
	"smartbots-offer-friendship.json":            {200, "offer_friendship"},
	"smartbots-offer-friendship-accepted.json":   {200, "offer_friendship_accepted"},
	"smartbots-offer-friendship-declined.json":   {200, "offer_friendship_declined"},
	"smartbots-offer-teleport.json":              {200, "offer_teleport"},
	"smartbots-offer-inventory.json":             {200, "offer_inventory"},
	"smartbots-script-dialog.json":               {200, "script_dialog"},
	"smartbots-nearby-avatars.json":              {200, "nearby_avatars"},
	"smartbots-unknown-event.json":               {200, "pigeon_landed"},
	"smartbots-latin-1.json":                     {200, "caf\uFFFD"},
	"smartbots-empty.json":                       {400, ""},
	"smartbots-broken-json.json":                 {400, ""},
	"smartbots-wrong-key.json":                   {404, ""},
	"smartbots-unknown-source.json":              {404, ""},
	"smartbots-get.json":                         {405, ""},

	"tencentchat-bot-on-group-message.json":           {200, "Bot.OnGroupMessage"},
	"tencentchat-bot-on-group-message-topic.json":     {200, "Bot.OnGroupMessage"},
	"tencentchat-bot-on-c2c-message.json":             {200, "Bot.OnC2CMessage"},
	"tencentchat-c2c-after-send-failed.json":          {200, "C2C.CallbackAfterSendMsg"},
	"tencentchat-c2c-after-withdraw.json":             {200, "C2C.CallbackAfterMsgWithDraw"},
	"tencentchat-c2c-extension.json":                  {200, "C2C.CallbackAfterC2CMsgExtension"},
	"tencentchat-group-before-send.json":              {200, "Group.CallbackBeforeSendMsg"},
	"tencentchat-group-after-send.json":               {200, "Group.CallbackAfterSendMsg"},
	"tencentchat-group-after-send-live.json":          {200, "Group.CallbackAfterSendMsg"},
	"tencentchat-group-after-join.json":               {200, "Group.CallbackAfterNewMemberJoin"},
	"tencentchat-group-after-exit.json":               {200, "Group.CallbackAfterMemberExit"},
	"tencentchat-group-extension.json":                {200, "Group.CallbackAfterGroupMsgExtension"},
	"tencentchat-topic-created.json":                  {200, "Group.CallbackAfterCreateTopic"},
	"tencentchat-state-change.json":                   {200, "State.StateChange"},
	"tencentchat-profile-set.json":                    {200, "Profile.CallbackPortraitSet"},
	"tencentchat-friend-add.json":                     {200, "Sns.CallbackFriendAdd"},
	"tencentchat-official-account-sent.json":          {200, "OfficialAccount.CallbackAfterSendMsg"},
	"tencentchat-push-offline-batch.json":             {200, "Push.OfflinePush Push.OfflinePush tencent-chat.unreadable tencent-chat.unreadable"},
	"tencentchat-push-offline-flat.json":              {200, "Push.OfflinePush"},
	"tencentchat-push-all-members.json":               {200, "Push.AllMemberPush"},
	"tencentchat-content-result.json":                 {200, "ContentCallback.ResultNotify"},
	"tencentchat-alert-over-limit.json":               {200, "Alert.RequestOverLimit"},
	"tencentchat-unknown-command.json":                {200, "Group.CallbackOnSomethingNew"},
	"tencentchat-url-check.json":                      {200, ""},
	"tencentchat-bot-on-group-message-commented.json": {400, ""},
	"tencentchat-not-object.json":                     {400, ""},
	"tencentchat-empty.json":                          {400, ""},
	"tencentchat-two-apps.json":                       {400, ""},
	"tencentchat-other-app.json":                      {403, ""},
	"tencentchat-other-command.json":                  {403, ""},
	"tencentchat-wrong-key.json":                      {404, ""},
	"tencentchat-unknown-source.json":                 {404, ""},
	"tencentchat-get.json":                            {405, ""},

	"direct-delivered.json":       {200, "delivered"},
	"direct-undelivered.json":     {200, "delivered"},
	"direct-sent.json":            {200, "sent"},
	"direct-read.json":            {200, "read"},
	"direct-price.json":           {200, "price"},
	"direct-click.json":           {200, "click"},
	"direct-inbound-sent.json":    {200, "inbound_sent"},
	"direct-all-events.json":      {200, "click delivered inbound_sent price read sent"},
	"direct-bare-object.json":     {200, "sent"},
	"direct-bad-items.json":       {200, "delivered" + strings.Repeat(" direct.unreadable", 8)},
	"direct-same-item-twice.json": {200, "delivered"},
	"direct-empty-array.json":     {200, ""},
	"direct-unknown-event.json":   {200, "rated"},
	"direct-unnamed.json":         {200, "direct.unnamed"},
	"direct-no-content-type.json": {200, "delivered"},
	"direct-not-json.json":        {400, ""},
	"direct-number.json":          {400, ""},
	"direct-no-login.json":        {401, ""},
	"direct-wrong-password.json":  {401, ""},
	"direct-bearer.json":          {401, ""},
	"direct-wrong-key.json":       {404, ""},
	"direct-unknown-source.json":  {404, ""},
	"direct-get.json":             {405, ""},
}

func TestEveryCommittedEventIsTested(t *testing.T) {
	var want, got []string
	for name := range wantedCallbacks {
		want = append(want, name)
	}
	for name := range wantedBatches {
		want = append(want, name)
	}
	for name := range wantedCalls {
		want = append(want, name)
	}
	want = append(want, tickEvent)
	entries, err := os.ReadDir(eventsFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("files in events/ (-tested +there):\n%s", diff)
	}
}

func TestCallbackMeansTheSameFromLambdaAndOverHTTP(t *testing.T) {
	outcomes := map[string]int{} // so far, by provider and status
	for _, name := range slices.Sorted(maps.Keys(wantedCallbacks)) {
		want := wantedCallbacks[name]
		provider, _, _ := strings.Cut(name, "-")
		kind := fmt.Sprint(provider, want.status)
		if outcomes[kind]++; outcomes[kind] > proofs.Length(1, 3, len(wantedCallbacks)) {
			continue // the tests of functions play each by its own function
		}
		t.Run(name, func(t *testing.T) {
			e := readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, name)
			lambda := outcomeOf(t, e, throughLambda)
			if lambda.Answer.Status != want.status || strings.Join(lambda.types(), " ") != want.types {
				t.Errorf("from Lambda: status %d and events %q, want %d and %q\nanswer: %s",
					lambda.Answer.Status, lambda.types(), want.status, want.types, lambda.Answer.Body)
			}
			if diff := gocmp.Diff(lambda, outcomeOf(t, e, overHTTP), sameButIDs); diff != "" {
				t.Errorf("not the same (-from Lambda +over HTTP):\n%s", diff)
			}
		})
	}
}

func TestCallbackOverTheLimitIsRefusedFromLambdaAndOverHTTP(t *testing.T) {
	proofs.Long(t)
	for name, body := range map[string]string{
		"smartbots-group-chat-json.json":        `{"action":"group_chat","message":"%s"}`,
		"tencentchat-bot-on-group-message.json": `{"CallbackCommand":"Bot.OnGroupMessage","GroupId":"%s"}`,
		"direct-bare-object.json":               `{"message_uuid":"%s"}`,
	} {
		for size, want := range map[int]int{provider.MaxPayloadBytes - 100: 200, provider.MaxPayloadBytes: 413, provider.MaxCallbackBytes: 413} {
			t.Run(fmt.Sprintf("%s of %d bytes", name, size), func(t *testing.T) {
				e := readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, name)
				e.Body, e.IsBase64Encoded = fmt.Sprintf(body, strings.Repeat("x", size)), false
				e.Headers["content-length"] = fmt.Sprint(len(e.Body))
				lambda, plain := outcomeOf(t, e, throughLambda), outcomeOf(t, e, overHTTP)
				if lambda.Answer.Status != want {
					t.Errorf("from Lambda: status %d, want %d", lambda.Answer.Status, want)
				}
				if diff := gocmp.Diff(lambda, plain, sameButIDs); diff != "" {
					t.Errorf("not the same (-from Lambda +over HTTP):\n%.1000s", diff)
				}
			})
		}
	}
}

// TestCallbackMayBeAsLargeAsTheLimit sends items that are too many for one Send.
func TestCallbackMayBeAsLargeAsTheLimit(t *testing.T) {
	proofs.Long(t)
	var items []string
	for i := range provider.MaxCallbackBytes / (250 << 10) {
		items = append(items, fmt.Sprintf(`{"message_uuid":"m%d","callback_event":"sent","text":"%s"}`, i, strings.Repeat("x", 250<<10)))
	}
	e := readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, "direct-bare-object.json")
	e.Body, e.IsBase64Encoded = "["+strings.Join(items, ",")+"]", false
	e.Body += strings.Repeat(" ", provider.MaxCallbackBytes-len(e.Body))
	for size, want := range map[string]int{e.Body: 200, e.Body + " ": 413} {
		e.Body = size
		e.Headers["content-length"] = fmt.Sprint(len(e.Body))
		for name, way := range map[string]way{"from Lambda": throughLambda, "over HTTP": overHTTP} {
			o := outcomeOf(t, e, way)
			events := len(items)
			if want != 200 {
				events = 0
			}
			if o.Answer.Status != want || len(o.Events) != events {
				t.Errorf("%s, %d bytes: status %d and %d events, want %d and %d", name, len(e.Body), o.Answer.Status, len(o.Events), want, events)
			}
		}
	}
}

// sameButIDs compares texts without the random part of event ids, which is all
// that is behind the source where an item has no natural key.
var sameButIDs = gocmp.Transformer("ids", func(text string) string { return eventID.ReplaceAllString(text, "$1") })

var eventID = regexp.MustCompile(`(evt_[0-9a-v]{8})[0-9a-v]{36}`)

// An outcome is what a callback led to.
type outcome struct {
	Answer     answered
	Events     []seenEvent // by type
	Deliveries []seenPost  // by host and body
}

type seenEvent struct {
	ID, Type, Label, ContentType, Query, Payload string
	Received, Time                               time.Time
	Keys                                         map[string][]string
	Unreadable                                   bool
}

type seenPost struct {
	Host, Query, Body string
	Header            http.Header
	Valid             bool // its signature
}

func (o outcome) types() []string {
	var types []string
	for _, e := range o.Events {
		types = append(types, e.Type)
	}
	return types
}

// arrival is when callbacks arrive in a bubble, whose time begins at
// 2000-01-01 00:00 UTC. So two worlds agree on ids that hold the time. It is
// before the schedule's first minute is over.
var arrival = time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC)

// outcomeOf sends e to a new world by a way and tells what became of it.
func outcomeOf(t *testing.T, e lambdaevents.APIGatewayV2HTTPRequest, way way) (o outcome) {
	t.Helper()
	sampled(t, func(t *testing.T, w *world) {
		provider := strings.Split(e.RawPath, "/")[2]
		w.registerSamples(sampleOf[provider])
		time.Sleep(time.Until(arrival))      // virtual
		if e.RequestContext.TimeEpoch != 0 { // when the provider called; its times are of the days before
			ahead := time.UnixMilli(e.RequestContext.TimeEpoch).Sub(arrival)
			w.ahead.Store(int64(ahead))
			for _, endpoint := range w.endpoints.At {
				endpoint.ClockAhead = ahead
			}
		}
		o.Answer = way(t, app.Callback(w.g, provider), e)
		time.Sleep(10 * time.Second) // virtual: until nothing is left to do
		o.Events = w.sampleEvents()
		o.Deliveries = w.samplePosts()
		if n := forTenants(o.Events); len(o.Deliveries) != 2*n {
			t.Errorf("%d deliveries of %d events in both formats", len(o.Deliveries), n)
		}
		for _, p := range o.Deliveries {
			if !p.Valid {
				t.Errorf("delivery to %s is not signed rightly", p.Host)
			}
		}
	})
	return o
}

// forTenants counts the events that a tenant gets who asks for all by *.
func forTenants(events []seenEvent) int {
	n := 0
	for _, e := range events {
		if !e.Unreadable && e.Type != "source.disconnected" {
			n++
		}
	}
	return n
}

// sampleOf names the sample source of each provider.
var sampleOf = map[string]string{"smartbots": sampleSmartBots, "tencent-chat": sampleTencent, "direct": sampleDirect}

// registerSamples makes a registration of each format for all of each source.
func (w *world) registerSamples(sources ...string) {
	w.t.Helper()
	c := control.Caller{Scope: control.ScopeFull, Tenant: samples.Tenant}
	for _, source := range sources {
		for _, format := range []gateway.Format{gateway.Standard, gateway.Raw} {
			w.register(c, gateway.Source{ID: source}, source+"-"+string(format)+".example", control.RegistrationChange{
				Format: ptr(format), EventTypes: ptr([]string{"*"}),
			})
		}
	}
}

// sampleEvents returns the events of the sample sources.
func (w *world) sampleEvents() []seenEvent {
	w.t.Helper()
	var out []seenEvent
	for _, source := range sampleOf {
		var events []history.Event
		for cursor := ""; ; { // a page ends early where a shard holds large payloads
			page, next, err := w.lists().Events(w.t.Context(), control.Operator(), history.Query{Source: source, Limit: 100, Cursor: cursor})
			if err != nil {
				w.t.Fatalf("events of %s: %v", source, err)
			}
			events = append(events, page...)
			if cursor = next; cursor == "" {
				break
			}
		}
		for _, l := range events {
			out = append(out, seenEvent{
				ID: nameless(source, l.ID), Type: l.Type, Label: l.Label, ContentType: l.ContentType, Query: l.Query, Payload: string(l.Payload),
				Received: l.Received, Time: l.Time, Keys: l.Keys, Unreadable: l.Unreadable,
			})
		}
	}
	slices.SortFunc(out, func(a, b seenEvent) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Payload, b.Payload))
	})
	return out
}

// samplePosts returns what the endpoints of the sample sources got.
func (w *world) samplePosts() []seenPost {
	w.t.Helper()
	var out []seenPost
	for host, at := range w.endpoints.At {
		source := host[:len(sampleDirect)]
		for _, p := range at.Posts() {
			h := p.Header.Clone()
			h.Del("Webhook-Signature") // with a secret of its own in each world
			h.Del("Ringback-Delivery") // of a registration of its own
			h.Set("Webhook-Id", nameless(source, h.Get("Webhook-Id")))
			out = append(out, seenPost{host, p.Query, nameless(source, string(p.Body)), h, p.Valid})
		}
	}
	slices.SortFunc(out, func(a, b seenPost) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(eventID.ReplaceAllString(a.Body, ""), eventID.ReplaceAllString(b.Body, "")))
	})
	return out
}

var eventIDForm = regexp.MustCompile(`evt_[0-9a-v]{44}`)

// nameless hides the event ids in text if the source's events have no natural
// key, and so a random id.
func nameless(source, text string) string {
	if source != sampleSmartBots {
		return text
	}
	return eventIDForm.ReplaceAllString(text, "evt_")
}

// An answered is an HTTP answer.
type answered struct {
	Status int
	Header map[string]string // without Content-Length and Date
	Body   string
}

// A way brings the request of e to h.
type way func(t *testing.T, h http.Handler, e lambdaevents.APIGatewayV2HTTPRequest) answered

func throughLambda(t *testing.T, h http.Handler, e lambdaevents.APIGatewayV2HTTPRequest) answered {
	t.Helper()
	resp, err := cloud.HTTP(h)(t.Context(), e)
	if err != nil {
		t.Fatalf("Lambda: %v", err)
	}
	body := resp.Body
	if resp.IsBase64Encoded {
		body = string(decodeBase64(t, body))
	}
	return answered{resp.StatusCode, resp.Headers, body}
}

func decodeBase64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readEvent reads a file of events/ as Lambda would, but refuses what the type
// does not know.
func readEvent[T any](t *testing.T, name string) T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(eventsFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	var v T
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}
