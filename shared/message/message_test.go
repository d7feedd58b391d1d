package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMessagesCarryBytesExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payloads := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 40).Draw(t, "payloads")
		events := arrivalsOf(payloads)
		ms, err := Pack(events, "")
		if err != nil {
			t.Fatal(err)
		}
		var back []InboundEvent
		for _, m := range ms {
			if !utf8.ValidString(m.Body) || strings.ContainsFunc(m.Body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) {
				t.Fatalf("message of characters that SQS does not carry: %q", m.Body)
			}
			_, got, err := Read(m.Body)
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, got...)
		}
		if d := cmp.Diff(events, back, cmpopts.IgnoreUnexported(provider.Event{})); d != "" {
			t.Fatalf("events changed on the way (-sent +read):\n%s", d)
		}
	})
}

func arrivalsOf(payloads [][]byte) []InboundEvent {
	events := make([]InboundEvent, len(payloads))
	for i, p := range payloads {
		events[i] = InboundEvent{Token: "t", UniqueForever: i%2 == 0, Event: provider.Event{
			ID: fmt.Sprintf("evt_%044d", i), Source: "src-00000000", Provider: "direct", Label: "acme", Type: "delivered",
			Received: noon, Keys: map[string][]string{"label": {"acme"}}, ContentType: "application/json", Payload: p,
		}}
		if i%3 == 0 {
			events[i].Time = noon.Add(-time.Minute)
		}
	}
	return events
}

func TestThousandItemsFitOneSend(t *testing.T) {
	payloads := make([][]byte, 1000)
	for i := range payloads {
		payloads[i] = bytes.Repeat([]byte("x"), 300)
	}
	ms, err := Pack(arrivalsOf(payloads), "")
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
	ms, err := Pack(arrivalsOf([][]byte{payload}), "")
	if err != nil || len(ms) != 1 {
		t.Fatalf("%d messages, %v", len(ms), err)
	}
	if _, events, err := Read(ms[0].Body); err != nil || !bytes.Equal(events[0].Payload, payload) {
		t.Errorf("read back: %v, equal %v", err, err == nil && bytes.Equal(events[0].Payload, payload))
	}
}

func TestMessageOfANewerReleaseIsLeftForIt(t *testing.T) {
	for _, body := range []string{`{"v":2,"k":"events"}` + "\n", `{"k":"events"}`, "", "{", `{"v":1,"k":"events","plain":true,"e":[{"n":9}]}` + "\nshort"} {
		if _, _, err := Read(body); !errors.Is(err, ErrUnreadable) {
			t.Errorf("message %q: %v, want ErrUnreadable", body, err)
		}
	}
}

func TestHeaderIsJSONThatSQSCarries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a\"\\\x00\x1f\x7f\u2028\ufffd\ufffe\uffff\U0010ffff"))))
		h := Header{
			V: storage.RowFormat, Kind: Events, Token: text.Draw(t, "token"), Source: "src-00000000", Provider: "direct",
			Label: text.Draw(t, "label"), Received: rapid.Int64().Draw(t, "received"), ContentType: text.Draw(t, "content type"),
			Query: text.Draw(t, "query"), Repeated: rapid.Bool().Draw(t, "again"), Plain: rapid.Bool().Draw(t, "plain"),
			Events: []packedEvent{{
				ID: text.Draw(t, "id"), Type: text.Draw(t, "type"), Time: rapid.Int64().Draw(t, "time"), UniqueForever: true,
				Keys: rapid.MapOf(text, rapid.SliceOf(text)).Draw(t, "keys"), Bytes: 3, NoNaturalKey: rapid.Bool().Draw(t, "unique"),
			}},
		}
		var got, want Header
		ours, err := h.encode()
		theirs, errTheirs := json.Marshal(h)
		if err := errors.Join(err, errTheirs, json.Unmarshal(ours, &got), json.Unmarshal(theirs, &want)); err != nil {
			t.Fatalf("%v: %s", err, ours)
		}
		if !storage.ValidText(ours) {
			t.Fatalf("header of characters that SQS does not carry: %q", ours)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("header differs from encoding/json's (-theirs +ours):\n%s", d)
		}
	})
}

// FuzzMessage packs an event and reads it again: it must be the same, its
// header what encoding/json makes of it, and the message one that SQS carries.
func FuzzMessage(f *testing.F) {
	f.Add("acme", "delivered", "application/json", "a=1", "bot", "@RBT#001", []byte(`{"a":1}`), int64(1760000000456))
	f.Add("", "", "", "", "", "\ufffe\uffff", []byte("\x00\xff"), int64(-1))
	f.Fuzz(func(t *testing.T, label, typ, contentType, query, kind, value string, payload []byte, at int64) {
		text := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") } // as a Reading promises
		a := InboundEvent{Token: "t", NoNaturalKey: at%2 == 0, Event: provider.Event{
			ID: "evt_" + strings.Repeat("0", 44), Source: "src-00000000", Provider: "direct", Label: text(label), Type: text(typ), Received: noon,
			ContentType: text(contentType), Query: text(query), Keys: map[string][]string{text(kind): {text(value), text(label)}}, Payload: payload,
		}}
		if at = at % (1 << 42); at != 0 {
			a.Time = time.UnixMilli(at).UTC()
		}
		body, err := PackOne([]InboundEvent{a, a})
		if err != nil {
			if len(label)+len(typ)+len(contentType)+len(query)+len(value)+len(payload) < 50<<10 {
				t.Errorf("PackOne: %v", err)
			}
			return
		}
		if !storage.ValidText(body) {
			t.Errorf("SQS does not carry the message %q", body)
		}
		h, got, err := Read(body)
		if d := cmp.Diff([]InboundEvent{a, a}, got, cmpopts.IgnoreUnexported(provider.Event{}), cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Fatalf("%v; events changed on the way (-sent +read):\n%s", err, d)
		}
		var want Header
		theirs, err := json.Marshal(h)
		if err := errors.Join(err, json.Unmarshal(theirs, &want)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, h, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("header differs from encoding/json's (-theirs +ours):\n%s", d)
		}
	})
}

// FuzzReadMessage reads what nobody wrote. What is read must be what the header
// says, and stay so when it is packed again.
func FuzzReadMessage(f *testing.F) {
	ms, err := Pack(arrivalsOf([][]byte{[]byte("a"), {0, 1, 2}}), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ms[0].Body)
	f.Add(`{"v":1,"k":"retry","id":"dlv_","c":3}`)
	f.Add(`{"v":1,"k":"events","plain":true,"e":[{"n":-1}]}` + "\nx")
	f.Fuzz(func(t *testing.T, body string) {
		h, events, err := Read(body)
		if err != nil && len(events) > 0 {
			t.Errorf("%d events with the error %v", len(events), err)
		}
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Errorf("Read: %v, want ErrUnreadable", err)
		}
		if err != nil || len(events) == 0 {
			return
		}
		if len(events) != len(h.Events) {
			t.Fatalf("%d events, the header names %d", len(events), len(h.Events))
		}
		again, err := PackOne(events)
		if err != nil {
			return // what is read may be larger than what is sent
		}
		if _, got, err := Read(again); err != nil || !cmp.Equal(events, got, cmpopts.IgnoreUnexported(provider.Event{}), cmpopts.EquateEmpty()) {
			t.Errorf("packed again: %v (-first +second):\n%s", err, cmp.Diff(events, got, cmpopts.IgnoreUnexported(provider.Event{})))
		}
	})
}

func BenchmarkPackBytesThatAreNoText(b *testing.B) {
	events := arrivalsOf([][]byte{bytes.Repeat([]byte("caf\xe9 "), 40)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Pack(events, ""); err != nil {
			b.Fatal(err)
		}
	}
}
