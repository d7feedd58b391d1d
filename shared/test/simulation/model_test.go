package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

func TestModelKeepsTheContractOfStore(t *testing.T) {
	storagetest.Store(t, func(*testing.T) storage.Store { return newRows() })
}

func TestModelKeepsTheContractOfQueue(t *testing.T) {
	storagetest.QueueInVirtualTime(t, func(*testing.T) storagetest.ServedQueue { return polled{newMessages(storagetest.Visibility)} })
}

// polled serves messages as they become visible, in the virtual time of the
// contract's bubble.
type polled struct{ *messages }

func (q polled) Serve(ctx context.Context, name storage.QueueName, h storage.Handler) error {
	var running sync.WaitGroup
	defer running.Wait()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for {
		for ms := q.receive(name, storage.MaxSend, rand.IntN); len(ms) > 0; ms = q.receive(name, storage.MaxSend, rand.IntN) {
			running.Go(func() {
				if again, err := h(context.WithoutCancel(ctx), ms); err == nil {
					q.finish(name, ms, again)
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}
