package tencentchat_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/providertest"
	"ringback/shared/provider/tencentchat"
)

var credentials = provider.Credentials{SDKAppID: 1400123456, Tokens: []string{"xxxxyyyy", "zzzz0000"}}

func TestCallbacksMeanWhatTheirFilesSay(t *testing.T) {
	providertest.Provider(t, providertest.ProviderTest{
		Provider:    tencentchat.Provider{},
		Dir:         "testdata",
		Credentials: credentials,
		Query:       []string{"SdkAppid", "RequestTime", "Sign"},
		SignsTime:   true,
	})
}

// The token, time and digest are those of "Webhook Overview",
// https://www.tencentcloud.com/document/product/1047/34354
func TestSignIsThatOfTheDocumentation(t *testing.T) {
	const sign = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
	at := time.Unix(1669872112, 0)
	const want = "SdkAppid=1&RequestTime=1669872112&Sign=" + sign
	if got := tencentchat.SignQuery("SdkAppid=1", "xxxxyyyy", at); got != want {
		t.Errorf("SignQuery = %s, want %s", got, want)
	}
	cb := provider.Callback{Query: want, Received: at}
	c := provider.Credentials{SDKAppID: 1, Tokens: []string{"xxxxyyyy"}}
	if err := (tencentchat.Provider{}).Verify(&cb, c); err != nil {
		t.Errorf("Verify of the documented signature: %v", err)
	}
	if got, want := tencentchat.SignQuery("", "xxxxyyyy", at), "RequestTime=1669872112&Sign="+sign; got != want {
		t.Errorf("SignQuery of nothing = %s, want %s", got, want)
	}
}

func TestProofIsCheckedInOrder(t *testing.T) {
	now := time.Unix(1760000000, 0)
	sign := func(query, token string, by time.Duration) string {
		return tencentchat.SignQuery(query, token, now.Add(by))
	}
	for _, tt := range []struct {
		name  string
		query string
		c     provider.Credentials
		want  error
	}{
		{"signed", sign("SdkAppid=5", "t", 0), app(5, "t"), nil},
		{"signed 59 s ago", sign("SdkAppid=5", "t", -59*time.Second), app(5, "t"), nil},
		{"signed 59 s ahead", sign("SdkAppid=5", "t", 59*time.Second), app(5, "t"), nil},
		{"signed 62 s ago", sign("SdkAppid=5", "t", -62*time.Second), app(5, "t"), provider.ErrSignature},
		{"signed 62 s ahead", sign("SdkAppid=5", "t", 62*time.Second), app(5, "t"), provider.ErrSignature},
		{"old token while it is valid", sign("SdkAppid=5", "old", 0), app(5, "t", "old"), nil},
		{"upper-case name and digits", strings.ToUpper(sign("SdkAppid=5", "t", 0)), app(5, "t"), nil},
		{"another app, well signed", sign("SdkAppid=6", "t", 0), app(5, "t"), provider.ErrForbidden},
		{"no app", sign("CallbackCommand=A.B", "t", 0), app(5, "t"), provider.ErrForbidden},
		{"app that is no number", sign("SdkAppid=5x", "t", 0), app(5, "t"), provider.ErrForbidden},
		{"largest app", "SdkAppid=18446744073709551615", app(1<<64 - 1), nil},
		{"app 0 of a source without one", "SdkAppid=0", app(0), provider.ErrForbidden},
		{"unsigned where no token is set", "SdkAppid=5", app(5), nil},
		{"wrongly signed where no token is set", "SdkAppid=5&Sign=00&RequestTime=1", app(5), nil},
		{"unsigned", "SdkAppid=5", app(5, "t"), provider.ErrSignature},
		{"signed by an empty token", sign("SdkAppid=5", "", 0), app(5, ""), provider.ErrSignature},
		{"time without a signature", "SdkAppid=5&RequestTime=1760000000", app(5, "t"), provider.ErrSignature},
		{"time that is no number", strings.Replace(sign("SdkAppid=5", "t", 0), "1760000000", "now", 1), app(5, "t"), provider.ErrSignature},
		{"time beyond int64", strings.Replace(sign("SdkAppid=5", "t", 0), "1760000000", "99999999999999999999", 1), app(5, "t"), provider.ErrSignature},
		{"lowest time", strings.Replace(sign("SdkAppid=5", "t", 0), "1760000000", "-9223372036854775808", 1), app(5, "t"), provider.ErrSignature},
		{"signature cut short", strings.TrimSuffix(sign("SdkAppid=5", "t", 0), "0"), app(5, "other"), provider.ErrSignature},
		{"signature with half a byte more", sign("SdkAppid=5", "t", 0) + "0", app(5, "t"), provider.ErrSignature},
		{"signature with what is no digit behind it", sign("SdkAppid=5", "t", 0) + "zz", app(5, "t"), provider.ErrSignature},
		{"signature twice", sign(sign("SdkAppid=5", "t", 0), "t", 0), app(5, "t"), provider.ErrUnreadable},
		{"empty and good signature", sign("SdkAppid=5&sign=", "t", 0), app(5, "t"), provider.ErrUnreadable},
		{"app twice", sign("SdkAppid=5&SdkAppid=5", "t", 0), app(5, "t"), provider.ErrUnreadable},
		{"command twice", sign("SdkAppid=5&CallbackCommand=A.B&CallbackCommand=A.C", "t", 0), app(5, "t"), provider.ErrUnreadable},
		{"nothing", "", app(5, "t"), provider.ErrForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tencentchat.Provider{}.Verify(&provider.Callback{Query: tt.query, Received: now}, tt.c)
			if !errors.Is(err, tt.want) {
				t.Errorf("Verify of %q: %v, want %v", tt.query, err, tt.want)
			}
		})
	}
}

func TestRawIsSignedWithTheTenantsToken(t *testing.T) {
	now := time.Unix(1760000000, 0)
	e := provider.Event{
		Query: "SdkAppid=5&CallbackCommand=State.StateChange", ContentType: "application/json", Payload: []byte(`{"a": 1.0}`),
	}
	raw := tencentchat.Provider{}.Raw(&e, "secret of the tenant", now)
	cb := provider.Callback{Query: raw.Query, Received: now}
	if err := (tencentchat.Provider{}).Verify(&cb, app(5, "secret of the tenant")); err != nil {
		t.Errorf("Verify of %q: %v", raw.Query, err)
	}
	if strings.Contains(raw.Query, "secret") || string(raw.Body) != `{"a": 1.0}` || raw.ContentType != "application/json" {
		t.Errorf("Raw = %+v", raw)
	}
	unsigned := tencentchat.Provider{}.Raw(&e, "", now)
	if unsigned.Query != e.Query {
		t.Errorf("Raw without a token has the query %q, want %q", unsigned.Query, e.Query)
	}
}

func TestRawOfAPushBatchSaysNothingOfTheMark(t *testing.T) {
	r := parse(t, "SdkAppid=5&CallbackCommand=Push.OfflinePush", `{"Events":[{"PushID":"p"}]}`)
	e := provider.Event{ContentType: r.ContentType, Query: r.Query, Payload: r.Items[0].Payload}
	raw := tencentchat.Provider{}.Raw(&e, "", time.Time{})
	if string(raw.Body) != `{"Events":[{"PushID":"p"}]}` || raw.ContentType != "application/json" {
		t.Errorf("Raw = %s as %q", raw.Body, raw.ContentType)
	}
}

func TestQueryIsKeptInASCIIAndBounded(t *testing.T) {
	r := parse(t, "SdkAppid=5&CallbackCommand=Caf\xe9&ClientIP=\x7fé%ff", `{"CallbackCommand":"Caf\ufffd"}`)
	if want := "SdkAppid=5&CallbackCommand=Caf%E9&ClientIP=%7F%C3%A9%ff"; r.Query != want || r.Items[0].Type != "Caf\uFFFD" {
		t.Errorf("query %q, type %q, want %q and U+FFFD in the type", r.Query, r.Items[0].Type, want)
	}
	long := "SdkAppid=5&ClientIP=" + strings.Repeat("<", provider.MaxQueryBytes)
	if _, err := (tencentchat.Provider{}).Parse(&provider.Callback{Query: long, Body: []byte(`{"a":1}`)}); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Parse with a query of %d bytes: %v, want ErrTooLarge", len(long), err)
	}
}

func TestContentTypeIsKeptAsItCame(t *testing.T) {
	for sent, want := range map[string]string{"text/json; charset=utf-8": "text/json; charset=utf-8", "": "application/json"} {
		cb := provider.Callback{Query: "SdkAppid=5", Header: http.Header{"Content-Type": {sent}}, Body: []byte(`{"a":1}`)}
		if r, err := (tencentchat.Provider{}).Parse(&cb); err != nil || r.ContentType != want {
			t.Errorf("Parse of what came as %q: content type %q, %v, want %q", sent, r.ContentType, err, want)
		}
	}
}

func TestContentTypeCannotPassForOurMark(t *testing.T) {
	cb := provider.Callback{Query: "SdkAppid=5", Header: http.Header{"Content-Type": {"text/plain; of=Events"}}, Body: []byte(`{"a":1}`)}
	r, err := tencentchat.Provider{}.Parse(&cb)
	if err != nil {
		t.Fatal(err)
	}
	raw := tencentchat.Provider{}.Raw(&provider.Event{ContentType: r.ContentType, Payload: r.Items[0].Payload}, "", time.Time{})
	if string(raw.Body) != `{"a":1}` {
		t.Errorf("Raw = %s as %q, want the packet as it came", raw.Body, raw.ContentType)
	}
}

func TestFactsThatDifferHaveDifferentNaturalKeys(t *testing.T) {
	type fact struct{ command, body string }
	facts := []fact{
		{"Bot.OnGroupMessage", `{"GroupId":"g","MsgSeq":1,"MsgTime":1760000000,"Random":7}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","MsgSeq":1,"MsgTime":1760000000,"Random":7}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"h","MsgSeq":1,"MsgTime":1760000000,"Random":7}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","TopicId":"t","MsgSeq":1,"MsgTime":1760000000,"Random":7}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","MsgSeq":2,"MsgTime":1760000000,"Random":7}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","MsgSeq":1,"MsgTime":1760000001,"Random":7}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","MsgSeq":1,"MsgTime":1760000000}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","MsgSeq":1,"MsgTime":1760000001,"Random":7,"MsgBody":[{"MsgType":"a"}]}`},
		{"Group.CallbackAfterSendMsg", `{"GroupId":"g","MsgSeq":1,"MsgTime":1760000001,"Random":7,"MsgBody":[{"MsgType":"b"}]}`},
		{"C2C.CallbackAfterSendMsg", `{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000","SendMsgResult":0}`},
		{"C2C.CallbackAfterSendMsg", `{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000","SendMsgResult":1}`},
		{"C2C.CallbackAfterSendMsg", `{"From_Account":"b","To_Account":"a","MsgKey":"1_2_1760000000","SendMsgResult":0}`},
		{"C2C.CallbackAfterMsgWithDraw", `{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000"}`},
		{"C2C.CallbackAfterSendMsg", `{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000","SendMsgResult":0,"MsgBody":[{"MsgType":"a"}]}`},
		{"C2C.CallbackAfterSendMsg", `{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000","SendMsgResult":0,"MsgBody":[{"MsgType":"b"}]}`},
		{"C2C.CallbackAfterMsgReport", `{"Report_Account":"a","LastReadTime":1,"EventTime":1760000000123}`},
		{"C2C.CallbackAfterMsgReport", `{"Report_Account":"a","LastReadTime":2,"EventTime":1760000000123}`},
		{"C2C.CallbackAfterMsgReport", `{"Report_Account":"a","LastReadTime":2,"EventTime":1760000000124}`},
		{"C2C.CallbackAfterC2CMsgExtension", `{"MsgKey":"1_2_1760000000","OperateType":1,"Seq":1}`},
		{"C2C.CallbackAfterC2CMsgExtension", `{"MsgKey":"1_2_1760000000","OperateType":1,"Seq":2}`},
		{"C2C.CallbackAfterC2CMsgExtension", `{"MsgKey":"1_2_1760000000","OperateType":2,"Seq":2}`},
		{"Group.CallbackAfterGroupMsgExtension", `{"GroupId":"g","MsgSeq":1,"OperateType":1,"Seq":1}`},
		{"Group.CallbackAfterGroupMsgExtension", `{"GroupId":"g","MsgSeq":2,"OperateType":1,"Seq":1}`},
		{"Group.CallbackAfterGroupMsgExtension", `{"GroupId":"g","MsgSeq":2,"OperateType":1,"Seq":2}`},
		{"Push.OfflinePush", `{"PushID":"p","To_Account":"a","PushStage":1,"EventType":1}`},
		{"Push.OfflinePush", `{"PushID":"p","To_Account":"a","PushStage":2,"EventType":1}`},
		{"Push.OfflinePush", `{"PushID":"p","To_Account":"b","PushStage":1,"EventType":1}`},
		{"Push.OfflinePush", `{"PushID":"p","To_Account":"a","PushStage":1,"EventType":2}`},
		{"Push.OfflinePush", `{"PushID":"p","To_Account":"a","PushStage":1,"EventType":1,"PushPlatform":3}`},
		{"Push.AllMemberPush", `{"TaskId":"p","To_Account":"a","PushStage":1,"EventType":1}`},
		{"Push.OfflinePush", `{"To_Account":"a","EventTime":1}`},
		{"Push.OfflinePush", `{"To_Account":"a","EventTime":2}`},
	}
	seen := map[string]fact{}
	for _, f := range facts {
		it := parse(t, "SdkAppid=5&CallbackCommand="+f.command, f.body).Items[0]
		if other, ok := seen[it.NaturalKey]; ok {
			t.Errorf("%v and %v have the same natural key", other, f)
		}
		seen[it.NaturalKey] = f
	}
}

// TestPacketWithoutIDAndTimeHasNoNaturalKey wants that who blocks, unblocks and
// blocks again is not taken to have blocked once.
func TestPacketWithoutIDAndTimeHasNoNaturalKey(t *testing.T) {
	for command, body := range map[string]string{
		"Sns.CallbackBlackListAdd":         `{"PairList":[{"From_Account":"a","To_Account":"b"}]}`,
		"Profile.CallbackPortraitSet":      `{"From_Account":"a","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"n"}]}`,
		"Group.CallbackAfterNewMemberJoin": `{"GroupId":"g","NewMemberList":[{"Member_Account":"a"}]}`,
		"Group.CallbackAfterSendMsg":       `{"GroupId":"g","MsgSeq":1}`,
		"State.StateChange":                `{"EventTime":0,"Info":{"Action":"Login","To_Account":"a"}}`,
	} {
		it := parse(t, "SdkAppid=5&CallbackCommand="+command, body).Items[0]
		if it.NaturalKey != "" || !it.StableTime.IsZero() {
			t.Errorf("%s %s: natural key %q at %v, want none", command, body, it.NaturalKey, it.StableTime)
		}
	}
}

func TestRepeatHasTheSameNaturalKeyWhateverElseChanged(t *testing.T) {
	for _, tt := range []struct{ command, first, second string }{
		{"Bot.OnGroupMessage",
			`{"GroupId":"g","MsgSeq":1,"MsgTime":1760000000,"Random":7,"EventTime":1760000000123}`,
			`{"Random":"7","MsgTime":"1760000000","MsgSeq":"1","GroupId":"g","EventTime":"1760000009999"}`},
		{"C2C.CallbackAfterSendMsg",
			`{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000","SendMsgResult":0,"UnreadMsgNum":3}`,
			`{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1760000000","SendMsgResult":"0","UnreadMsgNum":4}`},
		{"Push.OfflinePush",
			`{"PushID":"p","To_Account":"a","PushStage":1,"EventType":1,"MsgTime":1760000000,"EventTime":1760000001}`,
			`{"PushID":"p","To_Account":"a","PushStage":1,"EventType":1,"MsgTime":1760000000,"EventTime":1760000002}`},
	} {
		query := "SdkAppid=5&CallbackCommand=" + tt.command
		a, b := parse(t, query, tt.first).Items[0], parse(t, query+"&ClientIP=192.0.2.1", tt.second).Items[0]
		want := time.Unix(1760000000, 0)
		if a.NaturalKey != b.NaturalKey || !a.StableTime.Equal(want) || !b.StableTime.Equal(want) {
			t.Errorf("%s: keys %q at %v and %q at %v, want the same at %v", tt.command, a.NaturalKey, a.StableTime, b.NaturalKey, b.StableTime, want)
		}
	}
}

func TestTimesAreReadInTheirUnit(t *testing.T) {
	for _, tt := range []struct {
		command, body string
		time, stable  time.Time
	}{
		{"State.StateChange", `{"EventTime":1760000000456}`, time.UnixMilli(1760000000456), time.UnixMilli(1760000000456)},
		{"State.StateChange", `{"EventTime":"1760000000456"}`, time.UnixMilli(1760000000456), time.UnixMilli(1760000000456)},
		{"Push.OfflinePush", `{"EventTime":1760000000}`, time.Unix(1760000000, 0), time.Unix(1760000000, 0)},
		{"State.StateChange", `{"EventTime":0}`, time.Time{}, time.Time{}},
		{"State.StateChange", `{"EventTime":-5}`, time.Time{}, time.Time{}},
		{"State.StateChange", `{"EventTime":1.76e12}`, time.Time{}, time.Time{}},
		{"State.StateChange", `{"EventTime":999999999999999999}`, time.Time{}, time.Time{}},
		{"C2C.CallbackAfterMsgWithDraw", `{"MsgKey":"1_2_1760000000"}`, time.Time{}, time.Unix(1760000000, 0)},
		{"C2C.CallbackAfterMsgWithDraw", `{"MsgKey":"of_another_shape_1760000000"}`, time.Time{}, time.Time{}},
		{"Bot.OnC2CMessage", `{"MsgKey":"1_2_1760000000","MsgTime":1760000000}`, time.Unix(1760000000, 0), time.Unix(1760000000, 0)},
	} {
		it := parse(t, "SdkAppid=5&CallbackCommand="+tt.command, tt.body).Items[0]
		if !it.Time.Equal(tt.time) || !it.StableTime.Equal(tt.stable) {
			t.Errorf("%s %s: time %v, stable %v, want %v and %v", tt.command, tt.body, it.Time, it.StableTime, tt.time, tt.stable)
		}
	}
}

func TestSizeAndDepthAreBounded(t *testing.T) {
	large := `{"Text":"` + strings.Repeat("x", provider.MaxPayloadBytes) + `"}`
	deep := `{"Text":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`
	for _, tt := range []struct {
		name, body string
		want       error
	}{
		{"one that is too large", large, provider.ErrTooLarge},
		{"one that is too deep", deep, provider.ErrUnreadable},
		{"nesting without end", strings.Repeat(`{"a":`, 200000), provider.ErrUnreadable},
	} {
		_, err := tencentchat.Provider{}.Parse(&provider.Callback{Query: "SdkAppid=5", Body: []byte(tt.body)})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	got := parse(t, "SdkAppid=5&CallbackCommand=Push.OfflinePush", `{"Events":[`+large+`,{"PushID":"p"},`+deep+`]}`).Items
	for i, want := range []bool{true, false, true} {
		if got[i].Unreadable != want {
			t.Errorf("item %d: unreadable %v, want %v", i, got[i].Unreadable, want)
		}
	}
}

func TestDecisionsAreWhatBeforeAndPrevCommandsWaitFor(t *testing.T) {
	for _, et := range (tencentchat.Provider{}).EventTypes() {
		want := strings.Contains(et.Name, "CallbackBefore") || strings.Contains(et.Name, "CallbackPrev")
		if got := (tencentchat.Provider{}).Decides(et.Name); got != want {
			t.Errorf("Decides(%s) = %v, want %v", et.Name, got, want)
		}
	}
	if (tencentchat.Provider{}).Decides("Sns.CallbackFriendAdd") {
		t.Error("Decides(Sns.CallbackFriendAdd) = true")
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range providertest.ProviderCases(f, "testdata") {
		f.Add(c.Callback.Query, c.Callback.Header.Get("Content-Type"), c.Callback.Body)
	}
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte) {
		cb := provider.Callback{Query: query, Header: http.Header{"Content-Type": {contentType}}, Body: body}
		p := tencentchat.Provider{}
		reading, err := p.Parse(&cb)
		if err != nil {
			if !slices.ContainsFunc([]error{provider.ErrUnreadable, provider.ErrTooLarge, provider.ErrForbidden}, func(want error) bool { return errors.Is(err, want) }) {
				t.Errorf("Parse: %v", err)
			}
			return
		}
		for _, it := range reading.Items {
			if it.Unreadable && it.Type != "tencent-chat.unreadable" || !it.Unreadable && !json.Valid(bytes.TrimPrefix(it.Payload, []byte("\uFEFF"))) {
				t.Errorf("item of type %q: %q", it.Type, it.Payload)
			}
			e := provider.Event{Payload: it.Payload, Unreadable: it.Unreadable, Query: reading.Query, ContentType: reading.ContentType}
			data, err := p.Data(&e)
			parameters, errParameters := p.Parameters(&e)
			if err != nil || errParameters != nil || !json.Valid(data) || !json.Valid(parameters) {
				t.Errorf("Data = %q, %v, Parameters = %q, %v, want JSON", data, err, parameters, errParameters)
			}
			if raw := p.Raw(&e, "t", time.Time{}); !bytes.Contains(raw.Body, it.Payload) {
				t.Errorf("Raw = %q, want the payload in it", raw.Body)
			}
		}
		for _, problem := range append(providertest.CheckReading(&cb, reading), providertest.CheckRaw(p, reading)...) {
			t.Error(problem)
		}
	})
}

// FuzzVerify wants what is taken to be named and signed once, by a token, at
// most a minute ago.
func FuzzVerify(f *testing.F) {
	for _, c := range providertest.ProviderCases(f, "testdata") {
		f.Add(c.Callback.Query, c.Callback.Received.Unix())
	}
	f.Fuzz(func(t *testing.T, query string, received int64) {
		cb := provider.Callback{Query: query, Received: time.Unix(received, 0)}
		if (tencentchat.Provider{}).Verify(&cb, credentials) != nil {
			return
		}
		proof := map[string][]string{}
		for part := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(part, "=")
			if n, err := url.QueryUnescape(name); err == nil {
				name = n
			}
			if v, err := url.QueryUnescape(value); err == nil {
				value = v
			}
			for _, known := range []string{"SdkAppid", "RequestTime", "Sign"} {
				if strings.EqualFold(name, known) {
					proof[known] = append(proof[known], value)
				}
			}
		}
		if len(proof["SdkAppid"]) != 1 || len(proof["RequestTime"]) != 1 || len(proof["Sign"]) != 1 {
			t.Fatalf("Verify took %q", query)
		}
		good := false
		for _, token := range credentials.Tokens {
			sum := sha256.Sum256([]byte(token + proof["RequestTime"][0]))
			good = good || strings.EqualFold(hex.EncodeToString(sum[:]), proof["Sign"][0])
		}
		if !good {
			t.Errorf("Verify took %q", query)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	now := time.Unix(1760000000, 0)
	cb := provider.Callback{
		Query:    tencentchat.SignQuery("SdkAppid=1400123456&CallbackCommand=Bot.OnGroupMessage&contenttype=json&ClientIP=127.0.0.1&OptPlatform=Android", "zzzz0000", now),
		Header:   http.Header{"Content-Type": {"application/json"}},
		Received: now,
		Body: []byte(`{"CallbackCommand":"Bot.OnGroupMessage","GroupId":"@TGS#2LOREM7","Type":"Public","From_Account":"mina",` +
			`"Operator_Account":"mina","Random":3111222333,"MsgSeq":91,"MsgTime":1760000000,"OnlineOnlyFlag":0,` +
			`"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"` + strings.Repeat("what is open today? ", 32) + `"}}],` +
			`"AtRobots_Account":["@RBT#helper"],"CloudCustomData":"{\"thread\":7}","EventTime":1760000000456}`),
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(cb.Body)))
	for b.Loop() {
		if err := (tencentchat.Provider{}).Verify(&cb, credentials); err != nil {
			b.Fatal(err)
		}
		if _, err := (tencentchat.Provider{}).Parse(&cb); err != nil {
			b.Fatal(err)
		}
	}
}

func app(id uint64, tokens ...string) provider.Credentials {
	return provider.Credentials{SDKAppID: id, Tokens: tokens}
}

func parse(t *testing.T, query, body string) provider.Reading {
	t.Helper()
	reading, err := tencentchat.Provider{}.Parse(&provider.Callback{Query: query, Body: []byte(body)})
	if err != nil || len(reading.Items) == 0 {
		t.Fatalf("Parse of %.200s: %d items, %v", body, len(reading.Items), err)
	}
	return reading
}
