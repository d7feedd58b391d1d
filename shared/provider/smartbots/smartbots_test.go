package smartbots_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
	"ringback/shared/provider/providertest"
	"ringback/shared/provider/smartbots"
)

const form = "application/x-www-form-urlencoded"

func TestCallbacksMeanWhatTheirFilesSay(t *testing.T) {
	providertest.Provider(t, providertest.ProviderTest{Provider: smartbots.Provider{}, Dir: "testdata"})
}

// SmartBots reads accept=1 in an answer as the order to join a group.
func TestNoReplyHasAPair(t *testing.T) {
	for _, err := range []error{
		nil, provider.ErrMethod, provider.ErrNotFound, provider.ErrTooLarge, provider.ErrUnavailable, provider.ErrLoop,
		provider.ErrUnreadable, errors.New("accept=1"),
	} {
		got := smartbots.Provider{}.Reply(err)
		if bytes.ContainsAny(got.Body, "=&") || strings.HasPrefix(string(got.Body), "accept") || err == nil && len(got.Body) > 0 {
			t.Errorf("Reply(%v) has the body %q", err, got.Body)
		}
	}
}

func TestSameMessageTwiceIsTwoMessages(t *testing.T) {
	for range 2 {
		it := parse(t, form, "action=group_message&message=hi")
		if it.NaturalKey != "" || !it.StableTime.IsZero() || !it.Time.IsZero() {
			t.Errorf("natural key %q, stable %v, time %v, want none", it.NaturalKey, it.StableTime, it.Time)
		}
	}
}

func TestGroupIsTheValueThatIsAUUID(t *testing.T) {
	const uuid = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	for _, tt := range []struct{ body, want string }{
		{"group_uuid=" + uuid, uuid},
		{"group_uuid=" + strings.ToUpper(uuid), uuid},
		{"group_uuid=Harbor+Crew&group_name=" + uuid, uuid},
		{"group_uuid=" + uuid + "&group_name=00000000-0000-0000-0000-000000000000", uuid},
		{"group_id=" + uuid, uuid},
		{"group=" + uuid, uuid},
		{"group_uuid=Harbor+Crew&group_id=harbor-crew", ""},
		{"group_uuid=" + uuid[1:], ""},
		{"group_uuid=" + strings.Replace(uuid, "b", "g", 1), ""},
		{"group_uuid=" + strings.Replace(uuid, "-", "a", 1), ""},
		{"group_uuid=&group_name=", ""},
		{"group_uuid=09afAF09-0000-0000-0000-000000000000", "09afaf09-0000-0000-0000-000000000000"},
		{"group_uuid=" + uuid + "0", ""},
		{"group_uuid=/" + uuid[1:], ""},
		{"group_uuid=:" + uuid[1:], ""},
		{"group_uuid=@" + uuid[1:], ""},
		{"group_uuid=G" + uuid[1:], ""},
		{"group_uuid=`" + uuid[1:], ""},
		{"group_uuid=g" + uuid[1:], ""},
	} {
		if got := strings.Join(parse(t, form, tt.body).Keys["group"], ","); got != tt.want {
			t.Errorf("group of %s = %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestFormatIsThatOfTheBodyNotOfItsLabel(t *testing.T) {
	for _, label := range []string{"", form, "text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=b", "nonsense/"} {
		for _, body := range []string{"action=typed&bot_name=B", ` {"action":"typed","bot_name":"B"}`, "\uFEFFaction=typed&bot_name=B\r\n"} {
			it := parse(t, label, body)
			if it.Type != "typed" || strings.Join(it.Keys["bot"], ",") != "B" || string(it.Payload) != body {
				t.Errorf("%q labelled %q: type %q, keys %v, payload %q", body, label, it.Type, it.Keys, it.Payload)
			}
		}
	}
}

// TestOnlyABodyWithItsBoundaryIsMultipart is about bodies that look like parts
// or like JSON, and are neither.
func TestOnlyABodyWithItsBoundaryIsMultipart(t *testing.T) {
	const part = "--b\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\ntyped\r\n"
	for _, tt := range []struct{ label, body, want string }{
		{"multipart/form-data; boundary=b", part + "--b--\r\n", "typed"},
		{"MULTIPART/form-data; boundary=b", part + "--b--\r\n", "typed"},
		{"multipart/form-data; boundary=b", part, "typed"}, // cut off
		{"text/plain; boundary=b", "action=form&message=--b", "form"},
		{"multipart/form-data", "action=form&message=--", "form"},
		{"multipart/", "action=form", "form"},
	} {
		if got := parse(t, tt.label, tt.body).Type; got != tt.want {
			t.Errorf("%q labelled %q is of type %q, want %q", tt.body, tt.label, got, tt.want)
		}
	}
	for _, tt := range []struct{ label, body string }{
		{"multipart/form-data; boundary=b", "--b\r\n\r\nvalue without a name\r\n--b--\r\n"},
		{"", "{"},
		{"", "["},
		{"", ""},
	} {
		cb := provider.Callback{Header: http.Header{"Content-Type": {tt.label}}, Body: []byte(tt.body)}
		if got, err := (smartbots.Provider{}).Parse(&cb); !errors.Is(err, provider.ErrUnreadable) {
			t.Errorf("Parse of %q labelled %q = %+v, %v, want ErrUnreadable", tt.body, tt.label, got, err)
		}
	}
}

func TestSizeAndDepthAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       error
	}{
		{"too large", "message=" + strings.Repeat("x", provider.MaxPayloadBytes), provider.ErrTooLarge},
		{"as large as may be", "message=" + strings.Repeat("x", provider.MaxPayloadBytes-8), nil},
		{"too deep", `{"action":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", provider.ErrUnreadable},
	} {
		_, err := smartbots.Provider{}.Parse(&provider.Callback{Body: []byte(tt.body)})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range providertest.ProviderCases(f, "testdata") {
		f.Add(c.Callback.Header.Get("Content-Type"), c.Callback.Body)
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		cb := provider.Callback{Header: http.Header{"Content-Type": {contentType}}, Body: body}
		p := smartbots.Provider{}
		reading, err := p.Parse(&cb)
		if err != nil {
			if !errors.Is(err, provider.ErrUnreadable) && !errors.Is(err, provider.ErrTooLarge) {
				t.Errorf("Parse: %v", err)
			}
			return
		}
		if len(reading.Items) != 1 || reading.Items[0].Type == "" || len(reading.Items[0].Payload) != len(body) {
			t.Fatalf("Parse = %+v, want one item that is the body", reading)
		}
		e := provider.Event{ContentType: reading.ContentType, Payload: reading.Items[0].Payload}
		if data, err := p.Data(&e); err != nil || !json.Valid(data) || data[0] != '{' {
			t.Errorf("Data = %q, %v, want an object", data, err)
		}
		if raw := p.Raw(&e, "", time.Time{}); !bytes.Equal(raw.Body, body) || raw.ContentType != item.ContentType(&cb, raw.ContentType) {
			t.Errorf("Raw = %q as %q, want what came", raw.Body, raw.ContentType)
		}
		for _, problem := range append(providertest.CheckReading(&cb, reading), providertest.CheckRaw(p, reading)...) {
			t.Error(problem)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	cb := provider.Callback{
		Header: http.Header{"Content-Type": {form}},
		Body: []byte("action=group_message&bot_name=Harbor+Resident&channel=48213&cid=77&group_name=Harbor+Crew" +
			"&group_uuid=5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11&speaker_name=Nadia+Quill" +
			"&speaker_uuid=0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa&message=" + strings.Repeat("dock+is+open+%F0%9F%9A%A2+", 30)),
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(cb.Body)))
	for b.Loop() {
		if _, err := (smartbots.Provider{}).Parse(&cb); err != nil {
			b.Fatal(err)
		}
	}
}

func parse(t *testing.T, contentType, body string) provider.Item {
	t.Helper()
	cb := provider.Callback{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
	reading, err := smartbots.Provider{}.Parse(&cb)
	if err != nil || len(reading.Items) != 1 {
		t.Fatalf("Parse of %.200s: %d items, %v", body, len(reading.Items), err)
	}
	return reading.Items[0]
}
