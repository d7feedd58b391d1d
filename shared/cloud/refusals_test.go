package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

// answers is an AWS that gives each operation, by the end of X-Amz-Target, one
// answer: one that begins with { and 200, or the name of an error and 400. What
// it has no answer for goes to next, or is an error named Unexpected.
type answers struct {
	of   map[string]string
	next http.Handler
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	answer, ok := a.of[operation]
	if !ok && a.next != nil {
		a.next.ServeHTTP(w, r)
		return
	}
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if strings.HasPrefix(answer, "{") {
		io.WriteString(w, answer)
		return
	}
	if answer == "" {
		answer = "Unexpected"
	}
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"com.amazonaws#%s","message":"by the test"}`, answer)
}

// answering returns a Backend for which a is all of AWS.
func answering(t *testing.T, a *answers) *cloud.Backend {
	t.Helper()
	b, err := cloud.OpenOver(testConfig(cloud.Endpoints{DynamoDB: "http://dynamodb.test", SQS: sqsEndpoint}), sqstest.Client(a))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const damaged = `{"pk":{"S":"p"},"sk":{"S":"s"},"rev":{"S":"1"},"f":{"N":"99"}}`

// TestStoreTellsWhatDynamoDBRefuses wants each call to fail with the operation
// that it needs, and to name its table and no key.
func TestStoreTellsWhatDynamoDBRefuses(t *testing.T) {
	key := storage.Key{Table: storage.Deliveries, PK: "s3cret-p", SK: "s3cret-s"}
	other := storage.Key{Table: storage.Registrations, PK: "s3cret-p", SK: "s3cret-s"}
	get := func(keys ...storage.Key) func(context.Context, *cloud.Store) error {
		return func(ctx context.Context, s *cloud.Store) error {
			_, err := s.Get(ctx, keys...)
			return err
		}
	}
	list := func(q storage.Query) func(context.Context, *cloud.Store) error {
		q.Table, q.PK = storage.Deliveries, "s3cret-p"
		return func(ctx context.Context, s *cloud.Store) error {
			_, err := s.List(ctx, q)
			return err
		}
	}
	put := func(ctx context.Context, s *cloud.Store) error {
		return s.Put(ctx, storage.Row{Key: key, Rev: "1"}, "")
	}
	remove := func(ctx context.Context, s *cloud.Store) error { return s.Delete(ctx, key, "1") }
	conflict := `{"__type":"com.amazonaws#ConditionalCheckFailedException","Item":` + damaged + `}`
	for _, tt := range []struct {
		name, operation string
		answer          string
		call            func(context.Context, *cloud.Store) error
		want            string // in the error
	}{
		{"put", "PutItem", "ValidationException", put, "put a row of deliveries"},
		{"put over an item of a later format", "PutItem", conflict, put, "known format"},
		{"delete", "DeleteItem", "ValidationException", remove, "delete a row of deliveries"},
		{"delete of an item of a later format", "DeleteItem", conflict, remove, "known format"},
		{"get", "GetItem", "ValidationException", get(key), "get a row of deliveries"},
		{"get of an item of a later format", "GetItem", `{"Item":` + damaged + `}`, get(key), "known format"},
		{"get of two", "BatchGetItem", "ValidationException", get(key, other), "get 2 rows"},
		{"list", "Query", "ValidationException", list(storage.Query{}), "list rows of deliveries"},
		{"list of open rows", "Query", "ValidationException", list(storage.Query{Open: true}), "list rows of deliveries"},
		{"list of an item of a later format", "Query", `{"Items":[` + damaged + `]}`, list(storage.Query{}), "known format"},
		{"due rows", "Query", "ValidationException", func(ctx context.Context, s *cloud.Store) error {
			_, _, err := s.Due(ctx, 0, time.Now(), "", 0)
			return err
		}, "due rows of "},
		{"tables", "CreateTable", "ValidationException", func(ctx context.Context, s *cloud.Store) error { return s.CreateTables(ctx) }, "create table"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &answers{of: map[string]string{tt.operation: tt.answer}}
			if tt.answer == conflict { // an error with the item in it
				a.next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusBadRequest)
					io.WriteString(w, conflict)
				})
				a.of = nil
			}
			err := tt.call(t.Context(), answering(t, a).Store)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") || errors.Is(err, storage.ErrConflict) {
				t.Errorf("answered with %s: %v, want an error with %q and no key", tt.answer, err, tt.want)
			}
		})
	}
}

// TestConditionThatFailsOverNothingStored is about what DynamoDB answers for a row
// that is gone, or that expired and was not deleted yet: to a Delete it is done,
// to a Put over a revision the revision is another.
func TestConditionThatFailsOverNothingStored(t *testing.T) {
	key := newKey()
	for _, item := range []string{"", `,"Item":{"pk":{"S":"p"},"sk":{"S":"s"},"rev":{"S":"2"},"f":{"N":"1"},"x":{"N":"1"}}`} {
		s := answering(t, &answers{next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"com.amazonaws#ConditionalCheckFailedException"`+item+`}`)
		})}).Store
		if err := s.Delete(t.Context(), key, "1"); err != nil {
			t.Errorf("Delete answered with a failed condition%s: %v, want nil", item, err)
		}
		var conflict *storage.ConflictError
		if err := s.Put(t.Context(), storage.Row{Key: key, Rev: "2"}, "1"); !errors.As(err, &conflict) || conflict.Stored.Rev != "" {
			t.Errorf("Put answered with a failed condition%s: %v, want a conflict with nothing", item, err)
		}
	}
}

func TestBatchWithAnItemOfALaterFormatIsRefused(t *testing.T) {
	cfg := testConfig(cloud.Endpoints{DynamoDB: "http://dynamodb.test"})
	a := &answers{of: map[string]string{"BatchGetItem": `{"Responses":{"` + cfg.AWS.DeliveriesTable + `":[` + damaged + `]},"UnprocessedKeys":{}}`}}
	b, err := cloud.OpenOver(cfg, sqstest.Client(a))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := b.Store.Get(t.Context(), newKey(), newKey())
	if err == nil || !strings.Contains(err.Error(), "known format") || len(rows) != 0 {
		t.Errorf("Get of two, one of a later format: %d rows, %v, want an error", len(rows), err)
	}
}

// TestCallerWhoseTimeIsOverGetsNoRows lets the time end between two answers of
// which each brings a part.
func TestCallerWhoseTimeIsOverGetsNoRows(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	unprocessed := newUnprocessed()
	b, err := cloud.OpenOver(testConfig(cloud.Endpoints{DynamoDB: "http://dynamodb.test"}), sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unprocessed.ServeHTTP(w, r)
		time.AfterFunc(time.Millisecond, cancel)
	})))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := b.Store.Get(ctx, newKey(), newKey())
	if !errors.Is(err, context.Canceled) || len(rows) != 0 {
		t.Errorf("Get that is cancelled while keys are left: %d rows, %v, want %v", len(rows), err, context.Canceled)
	}
}

// TestFruitlessAnswersAreCountedInARow lets every fifth answer bring a row.
func TestFruitlessAnswersAreCountedInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []storage.Key{newKey(), newKey(), newKey(), newKey()}
		cfg := testConfig(cloud.Endpoints{DynamoDB: "http://dynamodb.test"})
		asked := 0
		var last time.Time
		var waits []time.Duration
		b, err := cloud.OpenOver(cfg, sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; !last.IsZero() {
				waits = append(waits, time.Since(last))
			}
			last = time.Now()
			left := len(keys) - asked/5
			var sk []string
			for _, k := range keys[:left] {
				sk = append(sk, fmt.Sprintf(`{"pk":{"S":%q},"sk":{"S":"S"}}`, k.PK))
			}
			more := ""
			if left > 0 {
				more = fmt.Sprintf(`%q:{"Keys":[%s]}`, cfg.AWS.DeliveriesTable, strings.Join(sk, ","))
			}
			item := ""
			if asked%5 == 0 {
				item = fmt.Sprintf(`{"pk":{"S":%q},"sk":{"S":"S"},"rev":{"S":"1"},"f":{"N":"1"}}`, keys[left].PK)
			}
			fmt.Fprintf(w, `{"Responses":{%q:[%s]},"UnprocessedKeys":{%s}}`, cfg.AWS.DeliveriesTable, item, more)
		})))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := b.Store.Get(t.Context(), keys...)
		if err != nil || len(rows) != 4 || asked != 20 {
			t.Errorf("Get of 4 rows, one every fifth answer: %d rows after %d answers, %v", len(rows), asked, err)
		}
		for i, wait := range waits {
			// After an answer that brought a row it asks at once, else it waits the longer
			// the more answers brought none.
			n := (i + 1) % 5
			if longest := 50 * time.Millisecond << max(n-1, 0); n == 0 && wait != 0 || n > 0 && (wait <= 0 || wait > longest+time.Millisecond) {
				t.Errorf("wait before answer %d: %v, want at most %v", i+2, wait, longest)
			}
		}
	})
}

// TestDeleteOfNoRevisionIsDoneIfThereIsNone asks for each kind of condition.
func TestDeleteOfNoRevisionIsDoneIfThereIsNone(t *testing.T) {
	s := openStore(t)
	row := storage.Row{Key: newKey(), Rev: "1"}
	if err := s.Put(t.Context(), row, ""); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key      storage.Key
		was      string
		conflict bool
	}{
		{row.Key, "", true},
		{row.Key, "2", true},
		{newKey(), "", false},
		{newKey(), "2", false},
		{newKey(), storage.AnyRev, false},
		{row.Key, storage.AnyRev, false},
		{row.Key, "", false},
	} {
		err := s.Delete(t.Context(), tt.key, tt.was)
		var conflict *storage.ConflictError
		if errors.As(err, &conflict) != tt.conflict || !tt.conflict && err != nil || tt.conflict && conflict.Stored.Rev != "1" {
			t.Errorf("Delete(%v, %q) = %v, want a conflict: %v", tt.key, tt.was, err, tt.conflict)
		}
	}
}

// TestQueueTellsWhatSQSRefuses fails one operation after the other.
func TestQueueTellsWhatSQSRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   map[string]string
		call func(context.Context, *cloud.Queue) error
		want string
	}{
		{"send", map[string]string{"SendMessageBatch": "InvalidAddress"}, func(ctx context.Context, q *cloud.Queue) error {
			errs := q.Send(ctx, storage.EventsQueue, []storage.Message{{Body: "a"}, {}, {Body: "b"}})
			if !errors.Is(errs[1], storage.ErrInvalid) || errs[2] == nil {
				return fmt.Errorf("of three messages, the second without a body: %v", errs)
			}
			return errs[0]
		}, "InvalidAddress"},
		{"depth", map[string]string{"GetQueueAttributes": "InvalidAddress"}, func(ctx context.Context, q *cloud.Queue) error {
			_, err := q.Depth(ctx, storage.EventsQueue)
			return err
		}, "depth of the events queue"},
		{"redrive", map[string]string{"GetQueueAttributes": "InvalidAddress"}, func(ctx context.Context, q *cloud.Queue) error {
			return q.Redrive(ctx, storage.EventsQueue)
		}, "InvalidAddress"},
		{"redrive that SQS does not start", map[string]string{"StartMessageMoveTask": "UnsupportedOperation", "ListMessageMoveTasks": `{"Results":[{"Status":"COMPLETED"},{"Status":"FAILED"}]}`}, func(ctx context.Context, q *cloud.Queue) error {
			return q.Redrive(ctx, storage.EventsQueue)
		}, "UnsupportedOperation"},
		{"redrive of which nothing is told", map[string]string{"StartMessageMoveTask": "UnsupportedOperation", "ListMessageMoveTasks": "InvalidAddress"}, func(ctx context.Context, q *cloud.Queue) error {
			return q.Redrive(ctx, storage.EventsQueue)
		}, "UnsupportedOperation"},
		{"redrive while one runs", map[string]string{"StartMessageMoveTask": "UnsupportedOperation", "ListMessageMoveTasks": `{"Results":[{"Status":"COMPLETED"},{"Status":"RUNNING"}]}`}, func(ctx context.Context, q *cloud.Queue) error {
			return q.Redrive(ctx, storage.EventsQueue)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &sqstest.Server{}
			c := sqstest.Connect(sqsEndpoint, sqstest.Client(server))
			if err := sqstest.CreateQueues(t.Context(), c, time.Minute, storage.MaxReceives, "events", "retry", "slow"); err != nil {
				t.Fatal(err)
			}
			err := tt.call(t.Context(), answering(t, &answers{of: tt.of, next: server}).Queue)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("answered with %v: %v, want %q", tt.of, err, tt.want)
			}
		})
	}
}

// TestDeadLettersAreCountedIfTheirQueueIsConfigured fails all that concerns the
// dead-letter queue's attributes.
func TestDeadLettersAreCountedIfTheirQueueIsConfigured(t *testing.T) {
	server := &sqstest.Server{}
	c := sqstest.Connect(sqsEndpoint, sqstest.Client(server))
	if err := sqstest.CreateQueues(t.Context(), c, time.Minute, storage.MaxReceives, "events", "retry", "slow"); err != nil {
		t.Fatal(err)
	}
	depth := func(events, dead string) (storage.Depth, error, error) {
		cfg := testConfig(cloud.Endpoints{SQS: sqsEndpoint})
		cfg.AWS.EventsQueueURL, cfg.AWS.EventsDeadURL = events, dead
		b, err := cloud.OpenOver(cfg, sqstest.Client(server))
		if err != nil {
			t.Fatal(err)
		}
		d, err := b.Queue.Depth(t.Context(), storage.EventsQueue)
		return d, err, b.Queue.Redrive(t.Context(), storage.EventsQueue)
	}
	events, dead, none := sqstest.URL(sqsEndpoint, "events"), sqstest.URL(sqsEndpoint, "events-dead"), sqstest.URL(sqsEndpoint, "none")
	for _, tt := range []struct {
		events, dead        string
		fails, redriveFails string // words of the errors
	}{
		{events, dead, "", ""},
		{events, "", "", "not configured"},
		{events, none, "depth of the events dead-letter queue", "redrive the events queue"},
		{none, dead, "depth of the events queue", "redrive the events queue"},
	} {
		d, err, redriveErr := depth(tt.events, tt.dead)
		for what, e := range map[string]struct {
			got  error
			want string
		}{"Depth": {err, tt.fails}, "Redrive": {redriveErr, tt.redriveFails}} {
			if e.want == "" && e.got != nil || e.want != "" && (e.got == nil || !strings.Contains(e.got.Error(), e.want)) {
				t.Errorf("%s of %s with dead letters in %q = %v, want %q", what, tt.events, tt.dead, e.got, e.want)
			}
		}
		if diff := cmp.Diff(storage.Depth{}, d); diff != "" {
			t.Errorf("Depth of an empty queue (-want +got):\n%s", diff)
		}
	}
}

// TestCreateQueuesTellsWhatSQSRefuses fails one operation after the other.
func TestCreateQueuesTellsWhatSQSRefuses(t *testing.T) {
	for operation, want := range map[string]string{
		"GetQueueUrl": "find queue events-dead", "CreateQueue": "create queue events-dead", "GetQueueAttributes": "find queue events-dead",
	} {
		t.Run(operation, func(t *testing.T) {
			server := httptest.NewServer(&answers{of: map[string]string{operation: "InvalidAddress"}, next: &sqstest.Server{}})
			t.Cleanup(server.Close)
			got, err := cloud.CreateQueues(t.Context(), testConfig(cloud.Endpoints{SQS: server.URL}).AWS, "events", "retry", "slow")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("CreateQueues where %s fails = %v, want %q", operation, err, want)
			}
			if got.EventsQueueURL != "" || got.EventsDeadURL != "" {
				t.Errorf("CreateQueues that failed returned the queues %q and %q", got.EventsQueueURL, got.EventsDeadURL)
			}
		})
	}
}

func TestOpenOverNamesAllThatIsMissing(t *testing.T) {
	if _, err := cloud.OpenOver(config.Config{}, http.DefaultClient); err == nil || !strings.Contains(err.Error(), "DELIVERIES_TABLE is not set") {
		t.Errorf("OpenOver of nothing: %v, want it to name what is missing", err)
	}
}
