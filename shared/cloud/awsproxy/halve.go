package awsproxy

import (
	"encoding/json"
	"maps"
	"net/http"
)

// A rest is what a partial batch left out, as the response names it: value is merged into the response's field.
type rest struct {
	field string
	value any // a list or a map
}

// halve removes the second half of a batch from c's body. It does not change a batch of one.
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
	for table, k := range items {
		if n := len(k.Keys) / 2; n > 0 {
			left[table] = keysOf{k.Keys[len(k.Keys)-n:], k.ConsistentRead}
			items[table] = keysOf{k.Keys[:len(k.Keys)-n], k.ConsistentRead}
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
	half := (len(entries) + 1) / 2
	var failed []map[string]any
	for _, e := range entries[half:] {
		failed = append(failed, map[string]any{"Id": e["Id"], "Code": "InternalError", "SenderFault": false})
	}
	in["Entries"] = encode(entries[:half])
	c.body = encode(in)
	return rest{"Failed", failed}
}

// addTo merges r into c's response.
func (r rest) addTo(c *call) error {
	if r.value == nil || c.status != http.StatusOK {
		return nil
	}
	out := fields(c.response)
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
	c.response = encode(out)
	return nil
}

// fields returns the members of a JSON object, or none if body is no object.
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
