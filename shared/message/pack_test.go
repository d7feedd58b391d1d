package message

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// TestPayloadGoesPlainIfTheQueueCarriesIt looks at the characters at the edges of
// what SQS carries ("SendMessage" in the Amazon SQS API Reference).
func TestPayloadGoesPlainIfTheQueueCarriesIt(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "a": true, "\t\n\r": true, "\x1f": false, "\x00": false, "\x0b": false, "\x20": true, "\x7f": true,
		"\x08": false, "\x0e": false, "é": true, "\ufffd": true, "\ufffe": false, "\uffff": false, "a\uffffb": false, "é\x1f": false,
		"\U00010000": true, "\U0010ffff": true, "\x80": false, "caf\xe9": false, "\xed\xa0\x80": false,
	} {
		a := arrivalsOf([][]byte{[]byte(text)})[0]
		body, err := PackOne([]InboundEvent{a})
		if err != nil {
			t.Fatal(err)
		}
		h, got, err := Read(body)
		if err != nil || h.Plain != want || string(got[0].Payload) != text {
			t.Errorf("payload %q goes plain: %v, read back as %q, %v; want %v", text, h.Plain, got[0].Payload, err, want)
		}
		if !storage.ValidText(body) {
			t.Errorf("payload %q makes a message that SQS does not carry", text)
		}
	}
}

// TestMessagesAreFilledUpToTheirLimits packs payloads of one size, of which each
// takes 48 bytes for its id, 9 for its type and 120 for the rest.
func TestMessagesAreFilledUpToTheirLimits(t *testing.T) {
	const entry = 48 + len("delivered") + 120
	half := maxPackedBytes/2 - entry
	for _, tt := range []struct {
		name  string
		sizes []int
		want  string // events of each message
	}{
		{"none", nil, "[]"},
		{"as many as a message holds", make([]int, maxPackedEvents), "[100]"},
		{"one more", make([]int, maxPackedEvents+1), "[100 1]"},
		{"two that fill one", []int{half, half}, "[2]"},
		{"two that are a byte too large", []int{half, half + 1}, "[1 1]"},
		{"one that is too large alone", []int{1, maxPackedBytes, 1}, "[1 1 1]"},
		{"three large ones, and small ones", []int{half, half, half, 1, 1}, "[2 3]"},
	} {
		var payloads [][]byte
		for _, n := range tt.sizes {
			payloads = append(payloads, bytes.Repeat([]byte("x"), n))
		}
		ms, err := Pack(arrivalsOf(payloads), "group")
		if err != nil {
			t.Fatal(err)
		}
		got := []int{}
		for _, m := range ms {
			_, es, err := Read(m.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, len(es))
			if m.Group != "group" {
				t.Errorf("%s: message group %q, want the one that was asked for", tt.name, m.Group)
			}
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: messages of %v events, want %s", tt.name, got, tt.want)
		}
	}
}

func TestMessageOverTheLimitIsRefused(t *testing.T) {
	a := arrivalsOf([][]byte{nil})[0]
	empty, err := PackOne([]InboundEvent{a})
	if err != nil {
		t.Fatal(err)
	}
	room := storage.MaxMessageBytes - len(empty) - len("1000000") + len("0")
	for size, want := range map[int]error{room: nil, room + 1: storage.ErrTooLarge} {
		a.Payload = bytes.Repeat([]byte("x"), size)
		body, err := PackOne([]InboundEvent{a})
		if !errors.Is(err, want) || want == nil && len(body) != storage.MaxMessageBytes {
			t.Errorf("payload of %d bytes: message of %d, %v; want %v", size, len(body), err, want)
		}
		if _, err := Pack([]InboundEvent{a}, ""); !errors.Is(err, want) {
			t.Errorf("Pack of %d bytes: %v, want %v", size, err, want)
		}
	}
}

// TestMessageTellsAllOfItsEvents reads what FanOut goes by and no other test asks for.
func TestMessageTellsAllOfItsEvents(t *testing.T) {
	events := arrivalsOf([][]byte{[]byte("1"), []byte("2")})
	events[1].Unreadable = true
	for i := range events {
		events[i].Recipient, events[i].Tenant, events[i].Repeated = "reg_1", "ten_1", true
	}
	body, err := PackOne(events)
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := Read(body)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	for i, a := range got {
		if a.Recipient != "reg_1" || a.Tenant != "ten_1" || !a.Repeated || a.Unreadable != (i == 1) {
			t.Errorf("event %d: only %q, tenant %q, again %v, unreadable %v; want what was packed", i, a.Recipient, a.Tenant, a.Repeated, a.Unreadable)
		}
	}
	if got[0].ID != events[0].ID || got[1].ID != events[1].ID {
		t.Errorf("Read = %+v; want both events", got)
	}
	retry, err := Header{Kind: Retry, ID: "dlv_1"}.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, es, err := Read(retry); err != nil || len(es) != 0 {
		t.Errorf("Read a message of another kind = %+v, %v; want none", es, err)
	}
	if _, _, err := Read("{"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("Read what is no message: %v, want ErrUnreadable", err)
	}
}

// TestMessageOfEventsThatCannotBeInIt is left for the dead-letter queue.
func TestMessageOfEventsThatCannotBeInIt(t *testing.T) {
	deflated, err := PackOne(arrivalsOf([][]byte{{0, 1, 2}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"not base64":     strings.Replace(deflated, "\n", "\n!", 1),
		"cut":            deflated[:len(deflated)-8],
		"no payload":     `{"v":1,"k":"events","e":[{"n":0}]}` + "\n!",
		"a format of 0":  `{"v":0,"k":"retry"}`,
		"a format of -1": `{"v":-1,"k":"retry"}`,
		"the next":       fmt.Sprintf(`{"v":%d,"k":"retry"}`, storage.RowFormat+1),
		"a size below 0": `{"v":1,"k":"events","plain":true,"e":[{"n":-1}]}` + "\nx",
		"a size above":   `{"v":1,"k":"events","plain":true,"e":[{"n":1},{"n":1}]}` + "\nx",
	} {
		if _, events, err := Read(body); !errors.Is(err, ErrUnreadable) || events != nil {
			t.Errorf("%s: %d events, %v; want ErrUnreadable", name, len(events), err)
		}
	}
	if _, events, err := Read(`{"v":1,"k":"events","plain":true,"e":[{"n":1},{"n":0},{"n":2}]}` + "\nabc"); err != nil || len(events) != 3 || string(events[2].Payload) != "bc" {
		t.Errorf("a message whose events fill it: %+v, %v", events, err)
	}
}

// TestHeaderTextIsReadAsItWasWritten has each character at the edge of what is
// written as it is.
func TestHeaderTextIsReadAsItWasWritten(t *testing.T) {
	for _, text := range []string{"\x1f", " ", "\x7f", "\u0080", "\"", "\\", "\ufffe", "\uffff", "\ufffd"} {
		body, err := Header{Kind: Retry, ID: text}.Pack()
		if h, _, errRead := Read(body); errors.Join(err, errRead) != nil || h.ID != text || !storage.ValidText(body) {
			t.Errorf("%q is written as %s and read as %q, %v", text, body, h.ID, errors.Join(err, errRead))
		}
	}
}

// TestPayloadIsBounded reads a message whose payload is far larger than it is: no
// more of it is taken into memory than two callbacks may hold.
func TestPayloadIsBounded(t *testing.T) {
	var b strings.Builder
	if err := deflateInto(&b, []InboundEvent{{Event: provider.Event{Payload: make([]byte, 3<<20)}}}); err != nil {
		t.Fatal(err)
	}
	got, err := Header{}.payload(b.String())
	if err != nil || len(got) != maxUnpacked {
		t.Errorf("payload of %d bytes, %v; want %d", len(got), err, maxUnpacked)
	}
}
