package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

func TestMessagesCarryBytesExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payloads := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 40).Draw(t, "payloads")
		as := arrivalsOf(payloads)
		ms, err := packEvents(as, "")
		if err != nil {
			t.Fatal(err)
		}
		var back []arrival
		for _, m := range ms {
			if !utf8.ValidString(m.Body) || strings.ContainsFunc(m.Body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) {
				t.Fatalf("message of characters that SQS does not carry: %q", m.Body)
			}
			_, got, err := readMessage(m.Body)
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, got...)
		}
		if d := cmp.Diff(as, back, cmp.AllowUnexported(arrival{}), cmpopts.IgnoreUnexported(provider.Event{})); d != "" {
			t.Fatalf("events changed on the way (-sent +read):\n%s", d)
		}
	})
}

func arrivalsOf(payloads [][]byte) []arrival {
	as := make([]arrival, len(payloads))
	for i, p := range payloads {
		as[i] = arrival{token: "t", forever: i%2 == 0, Event: provider.Event{
			ID: fmt.Sprintf("evt_%044d", i), Source: "src-00000000", Provider: "direct", Label: "acme", Type: "delivered",
			Received: noon, Keys: map[string][]string{"label": {"acme"}}, ContentType: "application/json", Payload: p,
		}}
		if i%3 == 0 {
			as[i].Time = noon.Add(-time.Minute)
		}
	}
	return as
}

func TestThousandItemsFitOneSend(t *testing.T) {
	payloads := make([][]byte, 1000)
	for i := range payloads {
		payloads[i] = bytes.Repeat([]byte("x"), 300)
	}
	ms, err := packEvents(arrivalsOf(payloads), "")
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, m := range ms {
		size += len(m.Body)
		if len(m.Body) > 64<<10 {
			t.Errorf("message of %d bytes, want at most 64 KiB, what one request may hold", len(m.Body))
		}
	}
	if len(ms) > storage.MaxSend || size > storage.MaxMessageBytes {
		t.Errorf("1,000 items of 300 bytes: %d messages, %d bytes; want one SendMessageBatch", len(ms), size)
	}
}

func TestLargestPayloadOfAnyBytesFits(t *testing.T) {
	payload := make([]byte, provider.MaxPayloadBytes)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	ms, err := packEvents(arrivalsOf([][]byte{payload}), "")
	if err != nil || len(ms) != 1 {
		t.Fatalf("%d messages, %v", len(ms), err)
	}
	if _, as, err := readMessage(ms[0].Body); err != nil || !bytes.Equal(as[0].Payload, payload) {
		t.Errorf("read back: %v, equal %v", err, err == nil && bytes.Equal(as[0].Payload, payload))
	}
}

// TestLargestEventFitsItsRow fills all that a provider may report with what
// JSON makes most of.
func TestLargestEventFitsItsRow(t *testing.T) {
	text := func(n int) string { return strings.Repeat("<", n) }
	a := arrivalsOf([][]byte{make([]byte, provider.MaxPayloadBytes)})[0]
	a.Type, a.Label, a.ContentType, a.Query = text(provider.MaxEventTypeBytes), text(MaxName), text(provider.MaxContentTypeBytes), text(provider.MaxQueryBytes)
	a.Keys = map[string][]string{"label": {a.Label}, "group": {text(provider.MaxKeysBytes)}}
	data, err := json.Marshal(a.row(slices.Repeat([]string{ident.New("reg", noon)}, maxListed), true, storage.NewRev()+".abcdef", noon))
	if err != nil {
		t.Fatal(err)
	}
	key, err := EventKey(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := (storage.Row{Key: key, Rev: storage.NewRev(), Data: data, Body: a.Payload}).Check(); err != nil {
		t.Errorf("row with %d bytes of data: %v", len(data), err)
	}
	if _, err := packMessage([]arrival{a}); err != nil {
		t.Errorf("message: %v", err)
	}
}

func TestMessageOfANewerReleaseIsLeftForIt(t *testing.T) {
	for _, body := range []string{`{"v":2,"k":"events"}` + "\n", `{"k":"events"}`, "", "{", `{"v":1,"k":"events","plain":true,"e":[{"n":9}]}` + "\nshort"} {
		if _, _, err := readMessage(body); !errors.Is(err, ErrUnreadable) {
			t.Errorf("message %q: %v, want ErrUnreadable", body, err)
		}
	}
}

func TestHeaderIsTheJSONThatIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a\"\\\x00\x1f\x7f\u2028\ufffd\ufffe\uffff\U0010ffff"))))
		h := header{
			V: storage.RowFormat, Kind: eventsMessage, Token: text.Draw(t, "token"), Source: "src-00000000", Provider: "direct",
			Label: text.Draw(t, "label"), Received: rapid.Int64().Draw(t, "received"), ContentType: text.Draw(t, "content type"),
			Query: text.Draw(t, "query"), Again: rapid.Bool().Draw(t, "again"), Plain: rapid.Bool().Draw(t, "plain"),
			Events: []packed{{
				ID: text.Draw(t, "id"), Type: text.Draw(t, "type"), Time: rapid.Int64().Draw(t, "time"), Forever: true,
				Keys: rapid.MapOf(text, rapid.SliceOf(text)).Draw(t, "keys"), Bytes: 3, Unique: rapid.Bool().Draw(t, "unique"),
			}},
		}
		var got, want header
		ours := h.appendEvents(nil)
		theirs, err := json.Marshal(h)
		if err := errors.Join(err, json.Unmarshal(ours, &got), json.Unmarshal(theirs, &want)); err != nil {
			t.Fatalf("%v: %s", err, ours)
		}
		if !storage.Carries(ours) {
			t.Fatalf("header of characters that SQS does not carry: %q", ours)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("header differs from encoding/json's (-theirs +ours):\n%s", d)
		}
	})
}

func BenchmarkPackBytesThatAreNoText(b *testing.B) {
	as := arrivalsOf([][]byte{bytes.Repeat([]byte("caf\xe9 "), 40)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := packEvents(as, ""); err != nil {
			b.Fatal(err)
		}
	}
}
