package cloud_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/gateway"
	"ringback/shared/gateway/gatewaytest"
)

func TestStore(t *testing.T) {
	b := openBackend(t, cloud.Endpoints{DynamoDB: dynamotest.Endpoint(t)})
	gatewaytest.Store(t, func(*testing.T) gateway.Store { return b.Store })
}

func TestQueue(t *testing.T) {
	gatewaytest.Queue(t, func(t *testing.T) gatewaytest.ServedQueue {
		server := httptest.NewServer(&sqstest.Server{Late: 200 * time.Millisecond})
		t.Cleanup(server.Close)
		return openServed(t, server.URL)
	})
}

// TestQueueOnMoto asks a server that others wrote for a second opinion. It does
// not move dead letters, and its threads race, so only what one caller after
// the other does is compared.
func TestQueueOnMoto(t *testing.T) {
	q := openServed(t, startMoto(t))
	ms := []gateway.Message{{Body: "plain"}, {Body: "é 漢 🙂 \t\r\n\uFFFD", Group: "tenant"}, {Body: "late", Delay: time.Second}}
	for i, err := range q.Send(t.Context(), gateway.EventsQueue, ms) {
		if err != nil {
			t.Fatalf("Send: message %d: %v", i, err)
		}
	}
	d, err := q.Depth(t.Context(), gateway.EventsQueue)
	if want := (gateway.Depth{Waiting: 2, Delayed: 1}); err != nil || d != want {
		t.Errorf("Depth = %+v, %v; want %+v", d, err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	left := map[string]bool{ms[0].Body: true, ms[1].Body: true, ms[2].Body: true}
	q.mapping(gateway.EventsQueue, func(_ context.Context, got []gateway.Received) ([]string, error) {
		for _, m := range got {
			delete(left, m.Body)
		}
		if len(left) == 0 {
			cancel()
		}
		return nil, nil
	}, 1).Run(ctx)
	if len(left) > 0 {
		t.Errorf("did not arrive: %v", left)
	}
}

// A served is a Queue with the mappings that Lambda would have. Its client waits
// longer for 1 MiB messages than the one for AWS does: the server is as slow as
// the race detector makes it.
type served struct {
	*cloud.Queue
	endpoint string
	client   *http.Client
}

func openServed(t *testing.T, endpoint string) served {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	c := sqstest.Connect(endpoint, client)
	if err := sqstest.CreateQueues(t.Context(), c, gatewaytest.Visibility, gateway.MaxReceives, "events", "retry"); err != nil {
		t.Fatal(err)
	}
	b, err := cloud.OpenOver(testConfig(cloud.Endpoints{SQS: endpoint}), client)
	if err != nil {
		t.Fatalf("OpenOver: %v", err)
	}
	return served{b.Queue, endpoint, client}
}

func (s served) Serve(ctx context.Context, q gateway.QueueName, h gateway.Handler) error {
	s.mapping(q, h, 4).Run(ctx)
	return nil
}

func (s served) mapping(q gateway.QueueName, h gateway.Handler, concurrency int) *sqstest.Mapping {
	return &sqstest.Mapping{
		SQS:         sqstest.Connect(s.endpoint, s.client),
		QueueURL:    sqstest.URL(s.endpoint, string(q)),
		Concurrency: concurrency,
		Function:    cloud.SQS(h),
	}
}

// startMoto returns the URL of a moto_server that lives as long as the test;
// without one on PATH that works the test ends by dynamotest.Missing.
func startMoto(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "moto_server", "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(cmd.Environ(), "PYTHONUNBUFFERED=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		dynamotest.Missing(t, "moto_server: "+err.Error())
	}
	t.Cleanup(func() { cmd.Wait() })
	running := regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)
	said := new(strings.Builder)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := running.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() {
				}
			}()
			return m[1]
		}
		fmt.Fprintln(said, lines.Text())
	}
	dynamotest.Missing(t, "moto_server: "+said.String())
	return ""
}
