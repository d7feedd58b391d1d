package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/gateway/gatewaytest"
)

func TestModelKeepsTheContractOfStore(t *testing.T) {
	gatewaytest.Store(t, func(*testing.T) gateway.Store { return newRows() })
}

func TestModelKeepsTheContractOfQueue(t *testing.T) {
	gatewaytest.Queue(t, func(*testing.T) gatewaytest.ServedQueue { return polled{newMessages(gatewaytest.Visibility)} })
}

// polled serves messages in real time, as the runs of the simulation do in
// virtual time.
type polled struct{ *messages }

func (q polled) Serve(ctx context.Context, name gateway.QueueName, h gateway.Handler) error {
	var running sync.WaitGroup
	defer running.Wait()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for {
		for ms := q.receive(name, gateway.MaxSend, rand.IntN); len(ms) > 0; ms = q.receive(name, gateway.MaxSend, rand.IntN) {
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
