package sqstest

import (
	"context"
	"net/http"
	"strconv"
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

// carried reports whether s holds only characters of XML 1.0 ("SendMessage" in
// the Amazon SQS API Reference). A JSON decoder has made U+FFFD, which is
// carried, of what was no UTF-8.
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

type receiveMessageInput struct {
	QueueUrl                    string
	MaxNumberOfMessages         int
	VisibilityTimeout           *int
	WaitTimeSeconds             int
	MessageSystemAttributeNames []string
}

type receiveMessageOutput struct{ Messages []receivedMessage }

type receivedMessage struct {
	MessageId     string
	ReceiptHandle string
	Body          string
	MD5OfBody     string
	Attributes    map[string]string
}

func (s *Server) receiveMessage(r *http.Request, in *receiveMessageInput) (receiveMessageOutput, error) {
	n := max(in.MaxNumberOfMessages, 1)
	if n > maxBatch || in.WaitTimeSeconds < 0 || in.WaitTimeSeconds > maxWait {
		return receiveMessageOutput{}, fail("InvalidParameterValue", "%d messages, %d s", n, in.WaitTimeSeconds)
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(in.WaitTimeSeconds)*time.Second)
	defer cancel()
	for {
		out, again, next, err := s.receive(in, n)
		if err != nil || len(out.Messages) > 0 || in.WaitTimeSeconds == 0 || !wait(ctx, again, next) {
			return out, err
		}
	}
}

// receive takes what is there; if that is nothing, changed is closed when there
// may be something, and next is when there will be.
func (s *Server) receive(in *receiveMessageInput, n int) (out receiveMessageOutput, changed <-chan struct{}, next time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return out, nil, next, err
	}
	visibility := q.visibility
	if in.VisibilityTimeout != nil {
		visibility = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	for _, m := range q.take(n, visibility+s.Late, s.queues[q.deadName]) {
		out.Messages = append(out.Messages, m.received(in.MessageSystemAttributeNames))
	}
	if len(q.waiting) > 0 {
		next = q.waiting[0].visible
	}
	return out, q.changed, next, nil
}

// wait returns true when it is time to look again, false when ctx has ended.
func wait(ctx context.Context, changed <-chan struct{}, next time.Time) bool {
	var due <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(time.Until(next))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-due:
	}
	return true
}

func (m *message) received(names []string) receivedMessage {
	r := receivedMessage{MessageId: m.id, ReceiptHandle: m.receipt, Body: m.body, MD5OfBody: digest(m.body)}
	all := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(m.receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
		"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
	}
	if m.group != "" {
		all["MessageGroupId"] = m.group
	}
	if m.trace != "" {
		all["AWSTraceHeader"] = m.trace
	}
	for _, name := range names {
		if name == "All" {
			r.Attributes = all
			break
		}
		if value, ok := all[name]; ok {
			if r.Attributes == nil {
				r.Attributes = make(map[string]string)
			}
			r.Attributes[name] = value
		}
	}
	return r
}

type deleteMessageInput struct{ QueueUrl, ReceiptHandle string }

func (s *Server) deleteMessage(_ *http.Request, in *deleteMessageInput) (struct{}, error) {
	return struct{}{}, s.delete(in.QueueUrl, in.ReceiptHandle)
}

type deleteMessageBatchInput struct {
	QueueUrl string
	Entries  []struct{ Id, ReceiptHandle string }
}

func (s *Server) deleteMessageBatch(_ *http.Request, in *deleteMessageBatchInput) (batchOutput, error) {
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.Id
	}
	var out batchOutput
	if err := checkBatch(ids); err != nil {
		return out, err
	}
	for _, e := range in.Entries {
		if err := s.delete(in.QueueUrl, e.ReceiptHandle); err != nil {
			out.fail(e.Id, err)
		} else {
			out.Successful = append(out.Successful, batchSuccess{Id: e.Id})
		}
	}
	return out, nil
}

// delete removes the message of receipt. One that was received again since, or
// deleted, is left as it is, without an error, as SQS does.
func (s *Server) delete(url, receipt string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(url)
	if err != nil {
		return err
	}
	if m := q.byReceipt[receipt]; m != nil {
		q.remove(m)
	}
	return nil
}

type changeMessageVisibilityInput struct {
	QueueUrl, ReceiptHandle string
	VisibilityTimeout       int
}

func (s *Server) changeMessageVisibility(_ *http.Request, in *changeMessageVisibilityInput) (struct{}, error) {
	return struct{}{}, s.change(in.QueueUrl, in.ReceiptHandle, in.VisibilityTimeout)
}

type changeMessageVisibilityBatchInput struct {
	QueueUrl string
	Entries  []struct {
		Id, ReceiptHandle string
		VisibilityTimeout int
	}
}

func (s *Server) changeMessageVisibilityBatch(_ *http.Request, in *changeMessageVisibilityBatchInput) (batchOutput, error) {
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.Id
	}
	var out batchOutput
	if err := checkBatch(ids); err != nil {
		return out, err
	}
	for _, e := range in.Entries {
		if err := s.change(in.QueueUrl, e.ReceiptHandle, e.VisibilityTimeout); err != nil {
			out.fail(e.Id, err)
		} else {
			out.Successful = append(out.Successful, batchSuccess{Id: e.Id})
		}
	}
	return out, nil
}

func (s *Server) change(url, receipt string, seconds int) error {
	if seconds < 0 || seconds > maxVisible {
		return fail("InvalidParameterValue", "VisibilityTimeout %d", seconds)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(url)
	if err != nil {
		return err
	}
	m := q.byReceipt[receipt]
	if m == nil || !m.visible.After(time.Now()) {
		return fail("MessageNotInflight", "receipt")
	}
	q.show(m, time.Now().Add(time.Duration(seconds)*time.Second))
	q.wake()
	return nil
}
