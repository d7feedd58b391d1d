package cloud_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/storage"
)

// BenchmarkSend measures what one message costs in the process that sends it,
// without a socket.
func BenchmarkSend(b *testing.B) {
	ms := []storage.Message{{Body: strings.Repeat("x", 1<<10)}}
	answer := fmt.Appendf(nil, `{"Successful":[{"Id":"0","MessageId":"x","MD5OfMessageBody":"%x"}]}`, md5.Sum([]byte(ms[0].Body)))
	backend, err := cloud.OpenOver(testConfig(cloud.Endpoints{SQS: sqsEndpoint}),
		sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) })))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := backend.Queue.Send(b.Context(), storage.EventsQueue, ms)[0]; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut measures what it costs to put an event of 1 KiB, which is packed
// into one write unit.
func BenchmarkPut(b *testing.B) {
	s := openBenchStore(b)
	r := storage.Row{Key: newKey(), Rev: storage.NewRev(), Data: []byte(`{"type":"group_chat","source":"src-1"}`),
		Body: []byte(strings.Repeat(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"@TGS#2J4SZEAEL"}`, 14))}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Put(b.Context(), r, storage.AnyRev); err != nil {
			b.Fatal(err)
		}
	}
}

// openBenchStore returns a Store on a DynamoDB that takes everything.
func openBenchStore(b *testing.B) *cloud.Store {
	b.Helper()
	backend, err := cloud.OpenOver(testConfig(cloud.Endpoints{DynamoDB: "http://dynamodb.test"}),
		sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) })))
	if err != nil {
		b.Fatal(err)
	}
	return backend.Store
}
