package embedded

import (
	"context"
	"testing"

	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

func TestStoreKeepsItsContract(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	storagetest.Store(t, func(*testing.T) storage.Store { return db })
}

// TestQueueKeepsItsContract runs by the clock on the wall only if there is time.
func TestQueueKeepsItsContract(t *testing.T) {
	contract := storagetest.Queue
	if testing.Short() {
		contract = storagetest.QueueInVirtualTime
	}
	contract(t, func(t *testing.T) storagetest.ServedQueue {
		return served{openTest(t, t.TempDir(), Options{Visibility: storagetest.Visibility})}
	})
}

// served is a DB that serves as the local runner does.
type served struct{ *DB }

func (s served) Serve(ctx context.Context, q storage.QueueName, h storage.Handler) error {
	return s.DB.Serve(ctx, q, Consumer{Handler: h, Concurrency: 4})
}
