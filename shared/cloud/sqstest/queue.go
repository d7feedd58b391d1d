package sqstest

import (
	"container/heap"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A queue sorts its messages by the time from which they can be received.
type queue struct {
	name       string
	visibility time.Duration
	deadName   string // dead-letter queue
	maxReceive int    // receives before a message goes there; 0: it never does
	waiting    messageHeap
	byReceipt  map[string]*message
	changed    chan struct{} // closed when a message may have become visible earlier
	sent       int           // messages so far
}

type message struct {
	id       string
	body     string
	group    string
	trace    string // X-Amzn-Trace-Id of the send
	sent     time.Time
	first    time.Time // first receive
	visible  time.Time
	receives int
	receipt  string // of the latest receive
	number   int    // order of sending
	place    int    // in the heap
}

// newID returns 16 random bytes in hex.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func digest(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// add adds m to the queue, to be received after delay. A message without an id is new and gets one.
func (q *queue) add(m *message, now time.Time, delay time.Duration) {
	if m.id == "" {
		m.id, m.sent = newID(), now
	}
	q.sent++
	m.number, m.visible = q.sent, now.Add(delay)
	heap.Push(&q.waiting, m)
	q.wake()
}

// remove removes m from the queue.
func (q *queue) remove(m *message) {
	heap.Remove(&q.waiting, m.place)
	delete(q.byReceipt, m.receipt)
}

// wake makes waiting receivers check the queue again.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// take receives up to n messages and hides them for the visibility timeout. It moves those that were received too often
// to dead, unless dead is nil.
func (q *queue) take(n int, visibility time.Duration, dead *queue) []*message {
	now := time.Now()
	var taken []*message
	for len(taken) < n && len(q.waiting) > 0 && !q.waiting[0].visible.After(now) {
		m := q.waiting[0]
		if dead != nil && q.maxReceive > 0 && m.receives >= q.maxReceive {
			q.remove(m)
			m.receives, m.receipt = 0, ""
			dead.add(m, now, 0)
			continue
		}
		delete(q.byReceipt, m.receipt)
		m.receives++
		m.receipt = newID()
		q.byReceipt[m.receipt] = m
		if m.first.IsZero() {
			m.first = now
		}
		q.show(m, now.Add(visibility))
		taken = append(taken, m)
	}
	return taken
}

// show makes m visible from then on.
func (q *queue) show(m *message, then time.Time) {
	m.visible = then
	heap.Fix(&q.waiting, m.place)
}

// messageHeap is a heap ordered by visible, then by the order of sending.
type messageHeap []*message

func (h messageHeap) Len() int { return len(h) }

func (h messageHeap) Less(i, j int) bool {
	if !h[i].visible.Equal(h[j].visible) {
		return h[i].visible.Before(h[j].visible)
	}
	return h[i].number < h[j].number
}

func (h messageHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *messageHeap) Push(m any) {
	m.(*message).place = len(*h)
	*h = append(*h, m.(*message))
}

func (h *messageHeap) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
}

type queueURLOutput struct{ QueueUrl string }

func (s *Server) createQueue(r *http.Request, in *createQueueInput) (queueURLOutput, error) {
	if in.QueueName == "" || strings.HasSuffix(in.QueueName, ".fifo") {
		return queueURLOutput{}, fail("InvalidParameterValue", "QueueName %q", in.QueueName)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues == nil {
		s.queues = make(map[string]*queue)
	}
	if s.queues[in.QueueName] == nil {
		s.queues[in.QueueName] = &queue{
			name:       in.QueueName,
			visibility: 30 * time.Second,
			byReceipt:  make(map[string]*message),
			changed:    make(chan struct{}),
		}
	}
	err := s.queues[in.QueueName].set(in.Attributes)
	return queueURLOutput{URL("http://"+r.Host, in.QueueName)}, err
}

type deleteQueueInput struct{ QueueUrl string }

func (s *Server) deleteQueue(_ *http.Request, in *deleteQueueInput) (struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err == nil {
		delete(s.queues, q.name)
	}
	return struct{}{}, err
}

type getQueueURLInput struct{ QueueName string }

func (s *Server) getQueueURL(r *http.Request, in *getQueueURLInput) (queueURLOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.queue(in.QueueName)
	return queueURLOutput{URL("http://"+r.Host, in.QueueName)}, err
}

type setQueueAttributesInput struct {
	QueueUrl   string
	Attributes map[string]string
}

func (s *Server) setQueueAttributes(_ *http.Request, in *setQueueAttributesInput) (struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, q.set(in.Attributes)
}

func (q *queue) set(attributes map[string]string) error {
	for name, value := range attributes {
		switch name {
		case "VisibilityTimeout":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > 43200 {
				return fail("InvalidAttributeValue", "%s %q", name, value)
			}
			q.visibility = time.Duration(n) * time.Second
		case "RedrivePolicy":
			if err := q.setRedrive(value); err != nil {
				return err
			}
		case "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "SqsManagedSseEnabled":
		default:
			return fail("InvalidAttributeName", "%s", name)
		}
	}
	return nil
}

func (q *queue) setRedrive(policy string) error {
	var p struct {
		DeadLetterTargetArn string      `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.Number `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return fail("InvalidAttributeValue", "RedrivePolicy: %v", err)
	}
	n, err := p.MaxReceiveCount.Int64()
	if err != nil || n < 1 || p.DeadLetterTargetArn == "" {
		return fail("InvalidAttributeValue", "RedrivePolicy %s", policy)
	}
	q.maxReceive = int(n)
	q.deadName = p.DeadLetterTargetArn[strings.LastIndexByte(p.DeadLetterTargetArn, ':')+1:]
	return nil
}

type getQueueAttributesInput struct {
	QueueUrl       string
	AttributeNames []string
}

type attributesOutput struct{ Attributes map[string]string }

func (s *Server) getQueueAttributes(_ *http.Request, in *getQueueAttributesInput) (attributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return attributesOutput{}, err
	}
	all := q.attributes()
	out := attributesOutput{make(map[string]string)}
	for _, name := range in.AttributeNames {
		if name == "All" {
			return attributesOutput{all}, nil
		}
		if _, ok := all[name]; !ok {
			return attributesOutput{}, fail("InvalidAttributeName", "%s", name)
		}
		out.Attributes[name] = all[name]
	}
	return out, nil
}

func (q *queue) attributes() map[string]string {
	var visible, inFlight, delayed int
	now := time.Now()
	for _, m := range q.waiting {
		switch {
		case !m.visible.After(now):
			visible++
		case m.receives > 0:
			inFlight++
		default:
			delayed++
		}
	}
	return map[string]string{
		"QueueArn":                              ARN(q.name),
		"VisibilityTimeout":                     fmt.Sprint(int(q.visibility / time.Second)),
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
	}
}
