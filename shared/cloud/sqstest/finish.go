package sqstest

import (
	"net/http"
	"time"
)

type deleteMessageInput struct{ QueueUrl, ReceiptHandle string }

func (s *Server) deleteMessage(_ *http.Request, in *deleteMessageInput) (struct{}, error) {
	return struct{}{}, s.delete(in.QueueUrl, in.ReceiptHandle)
}

type deleteMessageBatchInput struct {
	QueueUrl string
	Entries  []deleteEntry
}

type deleteEntry struct{ Id, ReceiptHandle string }

func (s *Server) deleteMessageBatch(_ *http.Request, in *deleteMessageBatchInput) (batchOutput, error) {
	return eachEntry(in.Entries, func(e deleteEntry) string { return e.Id }, func(e deleteEntry) error {
		return s.delete(in.QueueUrl, e.ReceiptHandle)
	})
}

// delete removes the message with this receipt. As at SQS, it does nothing and returns no error if the message was
// received again since, which makes the receipt stale, or is deleted already.
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
	Entries  []changeEntry
}

type changeEntry struct {
	Id, ReceiptHandle string
	VisibilityTimeout int
}

func (s *Server) changeMessageVisibilityBatch(_ *http.Request, in *changeMessageVisibilityBatchInput) (batchOutput, error) {
	return eachEntry(in.Entries, func(e changeEntry) string { return e.Id }, func(e changeEntry) error {
		return s.change(in.QueueUrl, e.ReceiptHandle, e.VisibilityTimeout)
	})
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

// eachEntry checks the ids of a batch and calls f for each entry.
func eachEntry[E any](entries []E, id func(E) string, f func(E) error) (batchOutput, error) {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = id(e)
	}
	var out batchOutput
	if err := checkBatch(ids); err != nil {
		return out, err
	}
	for i, e := range entries {
		if err := f(e); err != nil {
			out.fail(ids[i], err)
		} else {
			out.Successful = append(out.Successful, batchSuccess{Id: ids[i]})
		}
	}
	return out, nil
}
