package sqstest

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

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
		out, changed, next, err := s.receive(in, n)
		if err != nil || len(out.Messages) > 0 || in.WaitTimeSeconds == 0 || !wait(ctx, changed, next) {
			return out, err
		}
	}
}

// receive returns the visible messages. If there are none, changed is closed when a message may have become visible,
// and next is when a message that is there becomes visible.
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

// wait returns true when a receiver should check the queue again, and false when ctx has ended.
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
