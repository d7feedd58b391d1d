// Package sqstest is Amazon SQS for tests. Its Server has standard queues only and the part of SQS's JSON protocol that
// the gateway uses; an operation, a field or an attribute that it does not know is an error. Its Mapping receives
// messages and calls a function with them, as Lambda does.
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

// A Server has queues in memory; the zero value has none. It uses no clock except package time, so that it works in a
// synctest bubble when a Client calls it without a socket.
type Server struct {
	// Late is how long after its visibility timeout a message can be received again. SQS is not exact either. A test
	// that measures this at the receiver needs some: its own delays could otherwise look like a timeout that is short.
	Late time.Duration

	mu     sync.Mutex
	queues map[string]*queue // by name
	moves  []moveTask
}

// account and region are those of all URLs and ARNs.
const (
	account = "123456789012"
	region  = "us-east-1"
)

// URL returns the URL of the queue name on a server at endpoint.
func URL(endpoint, name string) string { return endpoint + "/" + account + "/" + name }

// ARN returns the ARN of the queue name.
func ARN(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// Client returns a client that calls h without a socket.
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

// A failure is an error in a response of SQS.
type failure struct {
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(code, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// operations are the server's operations, by the end of X-Amz-Target.
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

// operation decodes the input of f. A field that f does not know is an error.
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

// ServeHTTP serves the AWS JSON 1.0 protocol. It checks no signatures.
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

// queue returns the queue whose URL, ARN or name is name.
func (s *Server) queue(name string) (*queue, error) {
	name = name[strings.LastIndexAny(name, "/:")+1:]
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, fail("QueueDoesNotExist", "no queue %q", name)
}
