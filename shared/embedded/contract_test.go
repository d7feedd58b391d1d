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

func TestQueueKeepsItsContract(t *testing.T) {
	storagetest.Queue(t, func(t *testing.T) storagetest.ServedQueue {
		return served{openTest(t, t.TempDir(), Options{Visibility: storagetest.Visibility})}
	})
}

// served is a DB that serves as the local runner does.
type served struct{ *DB }

func (s served) Serve(ctx context.Context, q storage.QueueName, h storage.Handler) error {
	return s.DB.Serve(ctx, q, Consumer{Handler: h, Concurrency: 4})
}
