package app_test

import (
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud/cloudtest"
	"ringback/shared/cloud/dynamotest"
)

// everywhere is scenario, and runs f on the cloud backend too, except with -short.
func everywhere(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	scenario(t, f)
	if testing.Short() {
		return
	}
	t.Run("on AWS", func(t *testing.T) {
		t.Parallel()
		onAWS(t, func(t *testing.T, aws *cloudtest.Backend) { f(t, newWorldOn(t, aws)) })
	})
}

// onAWS runs f in virtual time with a cloud backend that is empty.
func onAWS(t *testing.T, f func(t *testing.T, aws *cloudtest.Backend)) {
	dynamoDB, now := dynamotest.Endpoint(t), time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // rows of the year 2000 would have expired in DynamoDB
		f(t, cloudtest.Open(t, dynamoDB, outside))
	})
}

// outside is the way out of bubbles.
var outside = cloudtest.NewCouriers(16)
