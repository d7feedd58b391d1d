package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ringback/shared/provider/tencentchat"
)

// demoPace is the time between two callbacks.
const demoPace = 1500 * time.Millisecond

// A scene is a callback as a provider sends it.
type scene struct {
	source      string
	query       string // raw
	contentType string
	body        string
}

// play sends callbacks over HTTP until ctx ends.
func (d *demo) play(ctx context.Context) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	t := time.NewTicker(demoPace)
	defer t.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		if err := d.send(ctx, client, sceneOf(n, time.Now().UTC())); err != nil && ctx.Err() == nil {
			d.g.Log.Warn("demo", "outcome", "not sent", "why", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return nil
}

func (d *demo) send(ctx context.Context, client *http.Client, s scene) error {
	of, err := d.control.Source(ctx, s.source)
	if err != nil {
		return err
	}
	callback, err := d.control.FirstCallbackURL(ctx, of)
	if err != nil {
		return err
	}
	path := strings.TrimPrefix(callback, d.g.PublicURL)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+path+"?"+s.query, strings.NewReader(s.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", s.contentType)
	if s.source == statusSource {
		req.SetBasicAuth(demoLogin, demoPassword)
	}
	resp, err := client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s was answered %s", s.source, resp.Status)
	}
	return nil
}

// sceneOf returns the callback number n, of what happens at now.
func sceneOf(n int, now time.Time) scene {
	line := demoTalk[n/5%len(demoTalk)]
	switch n % 5 {
	case 0:
		return groupChat(line.who, line.says)
	case 1:
		return smsStatus(n, "sent", now)
	case 2:
		return botQuestion(n, line.who, line.asks, now)
	case 3:
		return smsStatus(n, "delivered", now)
	}
	return botEvent(n, line.who)
}

// demoTalk is what people say and ask.
var demoTalk = [...]struct{ who, says, asks string }{
	{"Nadia Quill", "The regatta starts at eight, meet at the lighthouse.", "When does the regatta start?"},
	{"Tomas Reed", "Who has the key to the boathouse?", "How do I get into the boathouse?"},
	{"Mina Aalto", "I put it behind the blue buoy \U0001F642", "Can you translate “buoy” for me?"},
	{"Noor Haddad", "Building class tonight: bring your prims & textures.", "Is tonight's class for beginners?"},
	{"Jared Okafor", "Lag is 40 % down since the restart, nice.", "Show the region's statistics, please."},
}

func groupChat(who, says string) scene {
	return form(url.Values{
		"action": {"group_chat"}, "app_uuid": {"7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10"}, "group_uuid": {harborCrew},
		"group_id": {"harbor-crew"}, "speaker_name": {who}, "speaker_uuid": {demoUUID(who)}, "message": {says},
	})
}

// botEvent is one of the things that happen to a bot.
func botEvent(n int, who string) scene {
	v := url.Values{"bot_name": {quayBot}, "channel": {"48213"}, "cid": {"77"}}
	switch n / 5 % 3 {
	case 0:
		v.Set("action", "instant_message")
		v.Set("message", "Hello, is your shop open? — "+who)
	case 1:
		v.Set("action", "balance_changed")
		for name, value := range map[string]string{"amount": "250", "direction": "in", "balance": "1250", "trx_type": "5001"} {
			v.Set(name, value)
		}
	default:
		v.Set("action", "online_status")
		v.Set("status", "ONLINE")
		v.Set("location", "Quay/12/34/21")
	}
	return form(v)
}

func form(v url.Values) scene {
	return scene{source: botSource, contentType: "application/x-www-form-urlencoded", body: v.Encode()}
}

// botQuestion is a message to a bot, signed as Tencent does.
func botQuestion(n int, who, asks string, now time.Time) scene {
	type content struct{ Text string }
	type element struct {
		MsgType    string
		MsgContent content
	}
	body := mustJSON(map[string]any{
		"CallbackCommand": "Bot.OnC2CMessage", "From_Account": strings.ToLower(strings.Fields(who)[0]), "To_Account": helperBot,
		"MsgSeq": n, "MsgRandom": now.Nanosecond(), "MsgTime": now.Unix(), "MsgKey": fmt.Sprintf("%d_%d_%d", n, now.Nanosecond(), now.Unix()),
		"OnlineOnlyFlag": 0, "SendMsgResult": 0, "ErrorInfo": "send msg succeed", "CloudCustomData": "",
		"MsgBody": []element{{"TIMTextElem", content{asks}}}, "EventTime": now.UnixMilli(),
	})
	query := fmt.Sprintf("SdkAppid=%d&CallbackCommand=Bot.OnC2CMessage&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS", demoSDKAppID)
	return scene{chatSource, tencentchat.SignQuery(query, demoToken, now), "application/json", body}
}

// smsStatus is the status of a message; the one that is sent is delivered two
// callbacks later.
func smsStatus(n int, status string, now time.Time) scene {
	type report struct {
		MessageUUID string `json:"message_uuid"`
		Channel     string `json:"channel_type"`
		Event       string `json:"callback_event"`
		Status      string `json:"status"`
		Time        string `json:"status_time"`
		ErrorCode   int    `json:"error_code,omitempty"`
	}
	r := report{demoUUID(fmt.Sprint(n/5, now.Format("2006-01-02T15"))), "SMS", status, status, now.Format(time.RFC3339), 0}
	if status == "delivered" && n/5%6 == 5 {
		r.Status, r.ErrorCode = "undelivered", 7060
	}
	return scene{source: statusSource, contentType: "application/json", body: mustJSON([]report{r})}
}

// demoUUID returns always the same UUID for a text.
func demoUUID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // unreachable: text and numbers cannot fail
	}
	return string(b)
}
