package awsproxy

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
)

// A Count is what one operation has cost so far.
type Count struct {
	Requests   int     // that reached the server
	Chunks     int     // SQS: billed requests, one per 64 KiB of message bodies and at least one
	ReadUnits  float64 // DynamoDB
	WriteUnits float64 // DynamoDB, with those of indexes and of failed conditions
}

const chunkBytes = 64 << 10

// Counts returns the counts since the start or the last Reset by service and operation, such as
// "SQS.SendMessageBatch".
func (p *Proxy) Counts() map[string]Count {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Reset sets all counts to zero.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = nil
}

// meter makes DynamoDB say in its response what the request costs.
func (c *call) meter() {
	if !metered[c.operation] {
		return
	}
	in := fields(c.body)
	in["ReturnConsumedCapacity"] = encode("TOTAL")
	c.body = encode(in)
}

// metered are the operations that take ReturnConsumedCapacity.
var metered = map[string]bool{
	"DynamoDB.GetItem": true, "DynamoDB.BatchGetItem": true, "DynamoDB.Query": true, "DynamoDB.Scan": true,
	"DynamoDB.PutItem": true, "DynamoDB.UpdateItem": true, "DynamoDB.DeleteItem": true,
}

// count adds the cost of c.
func (p *Proxy) count(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		p.counts = make(map[string]Count)
	}
	sum := p.counts[c.operation]
	sum.Requests++
	switch {
	case strings.HasPrefix(c.operation, "SQS."):
		sum.Chunks += max(1, (c.messageBytes()+chunkBytes-1)/chunkBytes)
	case isWrite(c.operation):
		sum.WriteUnits += c.units()
	default:
		sum.ReadUnits += c.units()
	}
	p.counts[c.operation] = sum
}

func isWrite(operation string) bool {
	switch operation {
	case "DynamoDB.PutItem", "DynamoDB.UpdateItem", "DynamoDB.DeleteItem":
		return true
	}
	return false
}

// messageBytes adds up the bodies of the messages that were sent or received.
func (c *call) messageBytes() int {
	var in struct {
		Entries []struct{ MessageBody string }
	}
	var out struct{ Messages []struct{ Body string } }
	_ = json.Unmarshal(c.body, &in)
	_ = json.Unmarshal(c.response, &out)
	n := 0
	for _, e := range in.Entries {
		n += len(e.MessageBody)
	}
	for _, m := range out.Messages {
		n += len(m.Body)
	}
	return n
}

type consumed struct{ CapacityUnits float64 }

// units returns the capacity that c consumed according to DynamoDB. For a write whose condition failed DynamoDB gives
// none; such a write costs one unit per KiB of the stored item ("DynamoDB condition expressions").
func (c *call) units() float64 {
	if c.status != http.StatusOK {
		return c.failedUnits()
	}
	capacity := fields(c.response)["ConsumedCapacity"]
	var one consumed
	if json.Unmarshal(capacity, &one) == nil {
		return one.CapacityUnits
	}
	var sum float64
	var each []consumed
	_ = json.Unmarshal(capacity, &each)
	for _, table := range each {
		sum += table.CapacityUnits
	}
	return sum
}

func (c *call) failedUnits() float64 {
	var failed struct {
		Type string `json:"__type"`
		Item json.RawMessage
	}
	if json.Unmarshal(c.response, &failed) != nil || !strings.HasSuffix(failed.Type, "ConditionalCheckFailedException") {
		return 0
	}
	return float64(max(1, (itemBytes(failed.Item)+1023)/1024))
}

// itemBytes returns about what DynamoDB counts for item: names and values, with binary values decoded.
func itemBytes(item json.RawMessage) int {
	n := 0
	for name, value := range fields(item) {
		n += len(name)
		for kind, v := range fields(value) {
			var text string
			_ = json.Unmarshal(v, &text)
			switch kind {
			case "B":
				n += len(text) / 4 * 3
			case "N":
				n += (len(text)+1)/2 + 1
			default:
				n += len(text)
			}
		}
	}
	return n
}
