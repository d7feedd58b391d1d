package app_test

import (
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud/cloudtest"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/test/proofs"
)

// seenOnAWS are the scenarios that run on the cloud backend by default: one of what
// waits for a registration's consent, one of rows that several workers write, and one
// of a job. At full length all that call everywhere do.
var seenOnAWS = []string{
	"TestEndpointThatMustConsentGetsNothingBefore", "TestOpenCircuitIsKnownToEveryWorker", "TestJobsGoOnAfterTheirProcessEnded/recover",
}

// everywhere is scenario, and runs f on the cloud backend too: at full length, or if
// it is one of seenOnAWS.
func everywhere(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	scenario(t, f)
	onAWSToo(t, f)
}

// everywhereForDays is scenarioOfDays, and runs f on the cloud backend at full length.
func everywhereForDays(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	scenarioOfDays(t, f)
	onAWSToo(t, f)
}

func onAWSToo(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	if testing.Short() || !proofs.Full() && !slices.Contains(seenOnAWS, t.Name()) {
		return
	}
	t.Run("DynamoDB starts while no scenario runs", func(t *testing.T) { dynamoDB(t) })
	t.Run("on AWS", func(t *testing.T) {
		t.Parallel()
		onAWS(t, func(t *testing.T, aws *cloudtest.Backend) { f(t, newWorldOn(t, aws)) })
	})
}

// onAWS runs f in virtual time with a cloud backend that is empty.
func onAWS(t *testing.T, f func(t *testing.T, aws *cloudtest.Backend)) {
	dynamoDB, now := dynamoDB(t), time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // rows of the year 2000 would have expired in DynamoDB
		f(t, cloudtest.Open(t, dynamoDB, outside))
	})
}

// dynamoDB returns the URL of the one server of all tests, each of which has tables
// of its own. A process that is started while a file is closed keeps its lock for a
// moment, so it must not be started beside scenarios that restart.
func dynamoDB(t *testing.T) string {
	t.Helper()
	dynamoServer.once.Do(func() { dynamoServer.url = dynamotest.Endpoint(untilTheEnd{t}) })
	if dynamoServer.url == "" {
		dynamotest.Missing(t, "DynamoDB: the first test that wanted it says why")
	}
	return dynamoServer.url
}

var dynamoServer struct {
	once sync.Once
	url  string
}

// untilTheEnd is a test whose cleanups run after all tests.
type untilTheEnd struct{ testing.TB }

func (untilTheEnd) Cleanup(f func()) { cleanups = append(cleanups, f) }

var cleanups []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range cleanups {
		f()
	}
	os.Exit(code)
}

// outside is the way out of bubbles.
var outside = cloudtest.NewCouriers(16)
