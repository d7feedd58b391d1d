package awsproxy

import (
	"encoding/json"
	"maps"
	"net/http"
)

// A rest is what a partial batch left out, as it stands in the answer: under
// field, merged into what is there.
type rest struct {
	field string
	value any // a list or a map
}

// halve leaves the second half of a batch out of c's body. A batch of one is
// left as it is.
func (c *call) halve() rest {
	switch c.operation {
	case "DynamoDB.BatchGetItem":
		return c.halveKeys()
	case "SQS.SendMessageBatch":
		return c.halveEntries()
	}
	return rest{}
}

type keysOf struct {
	Keys           []json.RawMessage
	ConsistentRead bool
}

// halveKeys halves the keys of each table.
func (c *call) halveKeys() rest {
	in := fields(c.body)
	var items map[string]keysOf
	if json.Unmarshal(in["RequestItems"], &items) != nil {
		return rest{}
	}
	left := make(map[string]keysOf)
	for table, of := range items {
		if n := len(of.Keys) / 2; n > 0 {
			left[table] = keysOf{of.Keys[len(of.Keys)-n:], of.ConsistentRead}
			items[table] = keysOf{of.Keys[:len(of.Keys)-n], of.ConsistentRead}
		}
	}
	in["RequestItems"] = encode(items)
	c.body = encode(in)
	return rest{"UnprocessedKeys", left}
}

func (c *call) halveEntries() rest {
	in := fields(c.body)
	var entries []map[string]any
	if json.Unmarshal(in["Entries"], &entries) != nil {
		return rest{}
	}
	keep := (len(entries) + 1) / 2
	var failed []map[string]any
	for _, e := range entries[keep:] {
		failed = append(failed, map[string]any{"Id": e["Id"], "Code": "InternalError", "SenderFault": false})
	}
	in["Entries"] = encode(entries[:keep])
	c.body = encode(in)
	return rest{"Failed", failed}
}

// addTo merges r into c's answer.
func (r rest) addTo(c *call) error {
	if r.value == nil || c.status != http.StatusOK {
		return nil
	}
	out := fields(c.answer)
	switch left := r.value.(type) {
	case map[string]keysOf:
		all := make(map[string]keysOf)
		if err := json.Unmarshal(out[r.field], &all); len(out[r.field]) > 0 && err != nil {
			return err
		}
		maps.Copy(all, left)
		out[r.field] = encode(all)
	case []map[string]any:
		var all []map[string]any
		if err := json.Unmarshal(out[r.field], &all); len(out[r.field]) > 0 && err != nil {
			return err
		}
		out[r.field] = encode(append(all, left...))
	}
	c.answer = encode(out)
	return nil
}

// fields returns the members of a JSON object, none if body is not one.
func fields(body []byte) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	_ = json.Unmarshal(body, &m)
	return m
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // unreachable: v was decoded from JSON
	}
	return b
}
