package embedded

import (
	"context"
	"testing"

	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/proofs"
)

func TestStoreKeepsItsContract(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	storagetest.Store(t, func(*testing.T) storage.Store { return db })
}

// TestQueueKeepsItsContract runs by the clock on the wall at full length alone.
func TestQueueKeepsItsContract(t *testing.T) {
	contract := storagetest.QueueInVirtualTime
	if proofs.Full() {
		contract = storagetest.Queue
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
