package cloud

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"ringback/shared/storage"
)

func TestEveryRowComesBackFromItsItem(t *testing.T) {
	p := new(packer)
	content := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 100),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 20), func(b []byte) []byte { return bytes.Repeat(b, 200) }))
	rapid.Check(t, func(t *rapid.T) {
		want := storage.Row{
			Key:  storage.Key{Table: storage.Deliveries, PK: rapid.StringN(1, 50, -1).Draw(t, "pk"), SK: rapid.StringN(1, 50, -1).Draw(t, "sk")},
			Rev:  storage.NewRev(),
			Data: content.Draw(t, "data"),
			Body: content.Draw(t, "body"),
			Open: rapid.Bool().Draw(t, "open"),
		}
		if rapid.Bool().Draw(t, "indexed") {
			want.Due = time.UnixMilli(rapid.Int64Range(1, 1<<42).Draw(t, "due")).UTC()
			want.Expires = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "expires"), 0).UTC()
		}
		item := p.item(want)
		got, err := p.row(storage.Deliveries, item)
		if err != nil {
			t.Fatalf("row: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("row of its item (-want +got):\n%s", diff)
		}
		if item["z"] == nil {
			return
		}
		plain := itemBytes(item) - len("z") - len(bytesOf(item["z"])) + len("d") + len(want.Data) + len("b") + len(want.Body)
		if units(itemBytes(item)) >= units(plain) {
			t.Errorf("packed into %d bytes from %d, which saves no unit", itemBytes(item), plain)
		}
	})
}

// TestContentIsPackedWhereThatSavesAWriteUnit holds both sides of each bound.
func TestContentIsPackedWhereThatSavesAWriteUnit(t *testing.T) {
	p := new(packer)
	noise := make([]byte, 4*writeUnit)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	row := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}, Rev: "r"}
	fixed := itemBytes(p.item(row)) + len("d") + len("b")
	for _, tt := range []struct {
		name   string
		row    storage.Row
		packed bool
	}{
		{"one unit", storage.Row{Body: make([]byte, writeUnit-fixed)}, false},
		{"one byte more", storage.Row{Body: make([]byte, writeUnit-fixed+1)}, true},
		{"one byte more, half of it data", storage.Row{Data: make([]byte, 512), Body: make([]byte, writeUnit-fixed+1-512)}, true},
		{"two units of noise", storage.Row{Body: noise[:2*writeUnit-fixed]}, false},
		{"noise in the middle of a unit", storage.Row{Body: noise[:writeUnit+writeUnit/2]}, false},
		{"noise and a unit that is not", storage.Row{Body: slices.Concat(noise[:writeUnit], make([]byte, writeUnit))}, true},
	} {
		r := tt.row
		r.Key, r.Rev = row.Key, row.Rev
		item := p.item(r)
		if packed := item["z"] != nil; packed != tt.packed || packed && (item["d"] != nil || item["b"] != nil) {
			t.Errorf("item of %s: packed %v, want %v; data %v, body %v", tt.name, packed, tt.packed, item["d"] != nil, item["b"] != nil)
		}
	}
	for n := range writeUnit { // where the packed size passes the bound, too
		r := row
		r.Body = slices.Concat(noise[:n], make([]byte, 100))
		packed := fixed - len("d") - len("b") + len("z") + len(p.pack(nil, r.Body))
		plain := fixed + len(r.Body)
		if got, want := p.item(r)["z"] != nil, units(packed) < units(plain); got != want {
			t.Errorf("item of %d bytes, packed %d: packed %v, want %v", plain, packed, got, want)
		}
	}
	if p := new(packer); p.item(row) == nil || p.enc != nil {
		t.Error("an item of one unit made the coder, which a callback's ack is not to wait for")
	}
	for bytes, want := range map[int]int{1: 1, writeUnit: 1, writeUnit + 1: 2, 2 * writeUnit: 2, 2*writeUnit + 1: 3} {
		if got := units(bytes); got != want {
			t.Errorf("units(%d) = %d, want %d", bytes, got, want)
		}
	}
}

// TestItemIsAsLargeAsDynamoDBCounts holds the sizes that "DynamoDB item sizes and
// formats" gives.
func TestItemIsAsLargeAsDynamoDBCounts(t *testing.T) {
	for _, tt := range []struct {
		value types.AttributeValue
		want  int // without the name
	}{
		{text(""), 0},
		{text("é"), 2},
		{number(7), 2},
		{number(12), 2},
		{number(123), 3},
		{&types.AttributeValueMemberB{Value: make([]byte, 5)}, 5},
	} {
		if got := itemBytes(map[string]types.AttributeValue{"name": tt.value}); got != len("name")+tt.want {
			t.Errorf("itemBytes of %#v = %d, want %d", tt.value, got, len("name")+tt.want)
		}
	}
	if got := itemBytes(map[string]types.AttributeValue{"a": text("b"), "cd": number(1)}); got != 6 {
		t.Errorf("itemBytes of two attributes = %d, want 6", got)
	}
}

func TestNumbersComeBackFromTheirText(t *testing.T) {
	for _, n := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		if got := numberOf(number(n)); got != n {
			t.Errorf("numberOf of %d = %d", n, got)
		}
	}
	if got := numberOf(text("1")); got != 0 {
		t.Errorf("numberOf of a text = %d, want 0", got)
	}
}

// TestRowThatWasPackedBeforeIsUnpacked reads what format 1 packed when it was
// new: with another dictionary, rows that are stored could not be read any more.
func TestRowThatWasPackedBeforeIsUnpacked(t *testing.T) {
	file := func(name string) []byte {
		b, err := os.ReadFile("testdata/packed-1." + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := storage.Row{
		Key: storage.Key{Table: storage.Deliveries, PK: "E#src-f0rmat01#3", SK: "evt_f0rmat01"}, Rev: "a revision",
		Data: file("data"), Body: file("body"),
	}
	got, err := new(packer).row(storage.Deliveries, map[string]types.AttributeValue{
		"pk": text(want.PK), "sk": text(want.SK), "rev": text(want.Rev), "f": number(1),
		"z": &types.AttributeValueMemberB{Value: file("z")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("row that was packed (-want +got):\n%s", diff)
	}
}

func TestItemThatIsNotOursIsRefused(t *testing.T) {
	p := new(packer)
	good := func() map[string]types.AttributeValue {
		return p.item(storage.Row{Key: storage.Key{PK: "p", SK: "s"}, Rev: "r", Data: []byte("{}")})
	}
	for _, tt := range []struct {
		name   string
		change func(map[string]types.AttributeValue)
	}{
		{"later format", func(item map[string]types.AttributeValue) { item["f"] = number(2) }},
		{"no format", func(item map[string]types.AttributeValue) { delete(item, "f") }},
		{"no revision", func(item map[string]types.AttributeValue) { delete(item, "rev") }},
		{"key of another type", func(item map[string]types.AttributeValue) { item["pk"] = number(1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			item := good()
			tt.change(item)
			if _, err := p.row(storage.Deliveries, item); !errors.Is(err, errItem) {
				t.Errorf("row: %v, want errItem", err)
			}
		})
	}
}

func TestFrameThatUnpacksToMoreThanARowIsRefused(t *testing.T) {
	p := new(packer)
	for _, size := range []int{unpackBytes + 1, 100 << 20} {
		z := p.pack(make([]byte, size), nil)
		_, _, err := p.unpack(z)
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) && !errors.Is(err, zstd.ErrWindowSizeExceeded) {
			t.Errorf("unpack of %d bytes that are %d: %v, want that they are too many", len(z), size, err)
		}
	}
	if _, _, err := p.unpack(p.pack(make([]byte, storage.MaxRowBytes), nil)); err != nil {
		t.Errorf("unpack of the largest row: %v", err)
	}
}

// FuzzUnpack wants that a row comes back as it was packed, that nothing unpacks
// to more than a row, and that what is read of a stranger's bytes packs to the
// same again.
func FuzzUnpack(f *testing.F) {
	p := new(packer)
	f.Add(p.pack([]byte("{}"), []byte("body")))
	f.Add(p.enc.EncodeAll([]byte{3, 9, 'x'}, nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, z []byte) {
		if data, body, err := p.unpack(p.pack(z, nil)); err != nil || !bytes.Equal(data, z) || (data == nil) != (z == nil) || body != nil {
			t.Errorf("pack(%q, nil) unpacks to %q, %q, %v", z, data, body, err)
		}
		data, body, err := p.unpack(z)
		if err != nil {
			return
		}
		if len(data)+len(body) > unpackBytes {
			t.Errorf("unpack gave %d bytes, at most %d", len(data)+len(body), unpackBytes)
		}
		if d, b, err := p.unpack(p.pack(data, body)); err != nil || !bytes.Equal(d, data) || !bytes.Equal(b, body) || (b == nil) != (body == nil) {
			t.Errorf("packed again: %q, %q, %v, want %q, %q", d, b, err, data, body)
		}
	})
}
