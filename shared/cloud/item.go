package cloud

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"ringback/shared/storage"
)

// itemFormat is the attribute f of each item that this version writes. A reader also reads the format before this one.
// An item of a later format is an error, so that it is not misread.
const itemFormat = 1

// writeUnit is how many bytes one write unit covers ("Read/write capacity
// mode" in the Amazon DynamoDB Developer Guide).
const writeUnit = 1024

// item returns r as DynamoDB stores it. The package comment has the table of attributes. Data and Body are compressed
// into z where that saves a write unit.
func (p *packer) item(r storage.Row) map[string]types.AttributeValue {
	item := itemKey(r.Key)
	item["rev"] = text(r.Rev)
	item["f"] = number(itemFormat)
	if !r.Due.IsZero() {
		item["ds"] = number(int64(r.DueShard()))
		item["du"] = number(r.Due.UnixMilli())
	}
	if r.Open {
		item["op"] = text(r.PK)
	}
	if !r.Expires.IsZero() {
		item["x"] = number(r.Expires.Unix())
	}
	p.content(item, r)
	return item
}

// content adds r's Data and Body to item, compressed or as they are.
func (p *packer) content(item map[string]types.AttributeValue, r storage.Row) {
	fixed := itemBytes(item)
	plain := fixed + len("d") + len(r.Data) + len("b") + len(r.Body)
	if units(plain) > 1 {
		z := p.pack(r.Data, r.Body)
		if units(fixed+len("z")+len(z)) < units(plain) {
			item["z"] = &types.AttributeValueMemberB{Value: z}
			return
		}
	}
	switch {
	case r.Data == nil:
	case utf8.Valid(r.Data):
		item["d"] = text(string(r.Data)) // people can read it in DynamoDB's console
	default:
		item["d"] = &types.AttributeValueMemberB{Value: r.Data}
	}
	if r.Body != nil {
		item["b"] = &types.AttributeValueMemberB{Value: r.Body}
	}
}

func units(bytes int) int { return (bytes + writeUnit - 1) / writeUnit }

// itemBytes returns about what DynamoDB counts for the names and values of item, within a few bytes. A number counts
// half a byte per digit and one byte more ("DynamoDB item sizes and formats").
func itemBytes(item map[string]types.AttributeValue) int {
	n := 0
	for name, v := range item {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += (len(v.Value)+1)/2 + 1
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		}
	}
	return n
}

// errItem says that a later version wrote the item, or that it is damaged.
var errItem = errors.New("item is not in a known format")

// row is the reverse of item. Its error quotes nothing of the item, which may hold a secret.
func (p *packer) row(t storage.Table, item map[string]types.AttributeValue) (storage.Row, error) {
	r := storage.Row{Key: keyOf(t, item), Rev: textOf(item["rev"])}
	if f := numberOf(item["f"]); f < max(1, itemFormat-1) || f > itemFormat || r.PK == "" || r.SK == "" || r.Rev == "" {
		return storage.Row{}, fmt.Errorf("%w: format %d, want %d", errItem, f, itemFormat)
	}
	if item["du"] != nil {
		r.Due = time.UnixMilli(numberOf(item["du"])).UTC()
	}
	if item["x"] != nil {
		r.Expires = time.Unix(numberOf(item["x"]), 0).UTC()
	}
	r.Open = item["op"] != nil
	var err error
	if z := item["z"]; z != nil {
		r.Data, r.Body, err = p.unpack(bytesOf(z))
		return r, err
	}
	r.Data, r.Body = bytesOf(item["d"]), bytesOf(item["b"])
	return r, nil
}

func keyOf(t storage.Table, item map[string]types.AttributeValue) storage.Key {
	return storage.Key{Table: t, PK: textOf(item["pk"]), SK: textOf(item["sk"])}
}

func textOf(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func numberOf(v types.AttributeValue) int64 {
	s, _ := v.(*types.AttributeValueMemberN)
	if s == nil {
		return 0
	}
	n, _ := strconv.ParseInt(s.Value, 10, 64)
	return n
}

// bytesOf returns the bytes of a binary or text value, nil if there is none.
func bytesOf(v types.AttributeValue) []byte {
	switch v := v.(type) {
	case *types.AttributeValueMemberB:
		return v.Value
	case *types.AttributeValueMemberS:
		return []byte(v.Value)
	}
	return nil
}
