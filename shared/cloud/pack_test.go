package cloud

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"ringback/shared/storage"
)

func TestLengthIsCutOffWhereThereIsOne(t *testing.T) {
	for _, tt := range []struct {
		text   []byte
		length int
		rest   string
		ok     bool
	}{
		{nil, 0, "", false},
		{[]byte{0x80}, 0, "", false},
		{bytes.Repeat([]byte{0xff}, 11), 0, "", false},
		{[]byte{0, 'x'}, -1, "x", true},
		{[]byte{1, 'x'}, 0, "x", true},
		{[]byte{0x81, 1, 'x'}, 128, "x", true},
		{binary.AppendUvarint(nil, unpackBytes), unpackBytes - 1, "", true},
		{binary.AppendUvarint(nil, unpackBytes+1), 0, "", false},
	} {
		length, rest, ok := cutLength(tt.text)
		if length != tt.length || string(rest) != tt.rest || ok != tt.ok {
			t.Errorf("cutLength(%x) = %d, %q, %v, want %d, %q, %v", tt.text, length, rest, ok, tt.length, tt.rest, tt.ok)
		}
	}
}

// TestWhatIsUnpackedHasItsLengths packs lengths that do not fit what follows.
func TestWhatIsUnpackedHasItsLengths(t *testing.T) {
	p := new(packer)
	p.start()
	for _, tt := range []struct {
		plain string
		ok    bool
	}{
		{"\x00\x00", true},
		{"\x01\x01", true},
		{"\x02\x00x", true},
		{"\x00\x02x", true},
		{"\x03\x02xyz", true},
		{"", false},
		{"\x02", false},
		{"\x80\x80", false},
		{"\x02\x80", false},
		{"\x01\x80", false},
		{"\x00\x80", false},
		{"\x03\x02xy", false},
		{"\x03\x02xyz!", false},
		{"\x00\x00x", false},
		{"\x02\x00", false},
		{"\x00\x02", false},
	} {
		data, body, err := p.unpack(p.enc.EncodeAll([]byte(tt.plain), nil))
		if (err == nil) != tt.ok || err != nil && (!errors.Is(err, errItem) || data != nil || body != nil) {
			t.Errorf("unpack of %q = %q, %q, %v, want that it fits: %v", tt.plain, data, body, err, tt.ok)
		}
	}
	if data, body, err := p.unpack([]byte("no frame")); err == nil || data != nil || body != nil {
		t.Errorf("unpack of what is no frame = %q, %q, %v, want an error", data, body, err)
	}
}

// TestWhatIsUnpackedCanBeAppendedTo wants that Data that grows leaves Body.
func TestWhatIsUnpackedCanBeAppendedTo(t *testing.T) {
	p := new(packer)
	data, body, err := p.unpack(p.pack([]byte("data"), []byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, "!!!!"...)
	if string(data) != "data!!!!" || string(body) != "body" {
		t.Errorf("data that was appended to is %q, beside body %q", data, body)
	}
}

// TestRepeatAtTheOtherEndOfARowIsPacked wants a window that holds the largest row.
func TestRepeatAtTheOtherEndOfARowIsPacked(t *testing.T) {
	noise := make([]byte, storage.MaxRowBytes-40<<10)
	rand.NewChaCha8([32]byte{2}).Read(noise)
	z := new(packer).pack(noise, noise[:40<<10])
	if len(z) > len(noise)+1<<10 {
		t.Errorf("%d bytes of which the last 40 KiB are the first again pack to %d, want about %d", storage.MaxRowBytes, len(z), len(noise))
	}
}
