// Package sqstest is Amazon SQS for tests: a server of as much of its JSON
// protocol as the gateway uses, standard queues only, and a Mapping that takes
// messages from a queue and hands them to a function as Lambda does. What the
// server does not know, an operation, a field or an attribute, it refuses.
package sqstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// A Server holds queues in memory; the zero value holds none. It reads the time
// from package time and waits with it, so that it works in a synctest bubble
// when a Client calls it without a socket.
type Server struct {
	// Late is how much later than its visibility timeout says a message that was
	// received can be received again. SQS is not exact either; a test that
	// measures the time at the receiver would see its own delays otherwise.
	Late time.Duration

	mu     sync.Mutex
	queues map[string]*queue // by name
	moves  []moveTask
}

// account stands in URLs and ARNs, as region does.
const (
	account = "123456789012"
	region  = "us-east-1"
)

// URL returns the URL of the queue name on a server at endpoint.
func URL(endpoint, name string) string { return endpoint + "/" + account + "/" + name }

// ARN returns the ARN of the queue name.
func ARN(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// Client returns a client of h that needs no socket.
func Client(h http.Handler) *http.Client { return &http.Client{Transport: direct{h}} }

// direct calls a handler in the caller's goroutine.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	d.handler.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// A failure is an error as SQS answers it.
type failure struct {
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(code, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// operations are what the server knows, by the end of X-Amz-Target.
var operations = map[string]func(*Server, *http.Request, []byte) (any, error){
	"CreateQueue":                  operation((*Server).createQueue),
	"DeleteQueue":                  operation((*Server).deleteQueue),
	"GetQueueUrl":                  operation((*Server).getQueueURL),
	"GetQueueAttributes":           operation((*Server).getQueueAttributes),
	"SetQueueAttributes":           operation((*Server).setQueueAttributes),
	"SendMessageBatch":             operation((*Server).sendMessageBatch),
	"ReceiveMessage":               operation((*Server).receiveMessage),
	"DeleteMessage":                operation((*Server).deleteMessage),
	"DeleteMessageBatch":           operation((*Server).deleteMessageBatch),
	"ChangeMessageVisibility":      operation((*Server).changeMessageVisibility),
	"ChangeMessageVisibilityBatch": operation((*Server).changeMessageVisibilityBatch),
	"StartMessageMoveTask":         operation((*Server).startMessageMoveTask),
	"ListMessageMoveTasks":         operation((*Server).listMessageMoveTasks),
}

// operation decodes the input of f and refuses fields that f does not know.
func operation[In, Out any](f func(*Server, *http.Request, *In) (Out, error)) func(*Server, *http.Request, []byte) (any, error) {
	return func(s *Server, r *http.Request, body []byte) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fail("UnknownInput", "%s: %v", r.Header.Get("X-Amz-Target"), err)
		}
		return f(s, r, &in)
	}
}

// ServeHTTP answers one request of the AWS JSON 1.0 protocol. Signatures are
// not checked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	var out any
	if f, ok := operations[name]; ok {
		out, err = f(s, r, body)
	} else {
		err = fail("UnknownOperation", "%s", name)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	var f *failure
	if errors.As(err, &f) {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": "com.amazonaws.sqs#" + f.code, "message": f.message}
	}
	json.NewEncoder(w).Encode(out)
}

// queue returns the queue of url or of an ARN.
func (s *Server) queue(name string) (*queue, error) {
	name = name[strings.LastIndexAny(name, "/:")+1:]
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, fail("QueueDoesNotExist", "no queue %q", name)
}
