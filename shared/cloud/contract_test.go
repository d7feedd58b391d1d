package cloud_test

import (
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/gateway"
	"ringback/shared/gateway/gatewaytest"
)

func TestStore(t *testing.T) {
	b := openBackend(t, cloud.Endpoints{DynamoDB: dynamotest.Endpoint(t)})
	gatewaytest.Store(t, func(*testing.T) gateway.Store { return b.Store })
}
