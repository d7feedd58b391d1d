package embedded

import (
	"context"
	"testing"

	"ringback/shared/gateway"
	"ringback/shared/gateway/gatewaytest"
)

func TestStoreKeepsItsContract(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	gatewaytest.Store(t, func(*testing.T) gateway.Store { return db })
}

func TestQueueKeepsItsContract(t *testing.T) {
	gatewaytest.Queue(t, func(t *testing.T) gatewaytest.ServedQueue {
		return served{openTest(t, t.TempDir(), Options{Visibility: gatewaytest.Visibility})}
	})
}

// served is a DB that serves as the local runner does.
type served struct{ *DB }

func (s served) Serve(ctx context.Context, q gateway.QueueName, h gateway.Handler) error {
	return s.DB.Serve(ctx, q, Consumer{Handler: h, Concurrency: 4})
}
