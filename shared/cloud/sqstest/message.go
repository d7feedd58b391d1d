package sqstest

import (
	"net/http"
	"time"
	"unicode/utf8"
)

// Limits of "Amazon SQS message quotas".
const (
	maxBatch   = 10
	maxBytes   = 1 << 20
	maxDelay   = 900
	maxGroup   = 128
	maxWait    = 20
	maxVisible = 43200
)

type sendMessageBatchInput struct {
	QueueUrl string
	Entries  []sendEntry
}

type sendEntry struct {
	Id             string
	MessageBody    string
	DelaySeconds   int
	MessageGroupId string
}

type batchOutput struct {
	Successful []batchSuccess
	Failed     []batchFailure
}

type batchSuccess struct {
	Id               string
	MessageId        string `json:",omitempty"`
	MD5OfMessageBody string `json:",omitempty"`
}

type batchFailure struct {
	Id          string
	Code        string
	Message     string
	SenderFault bool
}

func (out *batchOutput) fail(id string, err error) {
	f := err.(*failure)
	out.Failed = append(out.Failed, batchFailure{Id: id, Code: f.code, Message: f.message, SenderFault: true})
}

func (s *Server) sendMessageBatch(r *http.Request, in *sendMessageBatchInput) (batchOutput, error) {
	ids, bytes := make([]string, len(in.Entries)), 0
	for i, e := range in.Entries {
		ids[i] = e.Id
		bytes += len(e.MessageBody)
	}
	if err := checkBatch(ids); err != nil {
		return batchOutput{}, err
	}
	if bytes > maxBytes {
		return batchOutput{}, fail("BatchRequestTooLong", "%d bytes", bytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return batchOutput{}, err
	}
	var out batchOutput
	for _, e := range in.Entries {
		if err := e.check(); err != nil {
			out.fail(e.Id, err)
			continue
		}
		m := &message{body: e.MessageBody, group: e.MessageGroupId, trace: r.Header.Get("X-Amzn-Trace-Id")}
		q.add(m, time.Now(), time.Duration(e.DelaySeconds)*time.Second)
		out.Successful = append(out.Successful, batchSuccess{e.Id, m.id, digest(m.body)})
	}
	return out, nil
}

func checkBatch(ids []string) error {
	switch {
	case len(ids) == 0:
		return fail("EmptyBatchRequest", "no entries")
	case len(ids) > maxBatch:
		return fail("TooManyEntriesInBatchRequest", "%d entries", len(ids))
	}
	seen := make(map[string]bool)
	for _, id := range ids {
		if seen[id] {
			return fail("BatchEntryIdsNotDistinct", "id %q", id)
		}
		seen[id] = true
	}
	return nil
}

func (e sendEntry) check() error {
	switch {
	case e.MessageBody == "":
		return fail("MissingParameter", "message without a body")
	case !carried(e.MessageBody):
		return fail("InvalidMessageContents", "character that SQS does not carry")
	case e.DelaySeconds < 0 || e.DelaySeconds > maxDelay:
		return fail("InvalidParameterValue", "DelaySeconds %d", e.DelaySeconds)
	case len(e.MessageGroupId) > maxGroup:
		return fail("InvalidParameterValue", "MessageGroupId of %d characters", len(e.MessageGroupId))
	}
	return nil
}

// carried reports whether s holds only the characters of XML 1.0, as SQS demands ("SendMessage" in the Amazon SQS API
// Reference). Invalid UTF-8 passes, since the JSON decoder has replaced it with U+FFFD.
func carried(s string) bool {
	for _, r := range s {
		switch {
		case r == '\t', r == '\n', r == '\r':
		case r < 0x20, r == 0xFFFE, r == 0xFFFF:
			return false
		}
	}
	return utf8.ValidString(s)
}
