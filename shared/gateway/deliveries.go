package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// putDelivery writes d if its stored revision is was.
func (g *Gateway) putDelivery(ctx context.Context, d Delivery, was string) error {
	row, err := d.row(g.Kept)
	if err != nil {
		return err
	}
	row.Rev = NewRev()
	if err := persist(ctx, func() error { return g.Store.Put(ctx, row, was) }); err != nil {
		return fmt.Errorf("put delivery %s: %w", d.ID, err)
	}
	return nil
}

// loadDelivery returns a delivery as it is now. The error wraps ErrNotFound.
func (g *Gateway) loadDelivery(ctx context.Context, id string) (Delivery, error) {
	registration, event, err := splitDeliveryID(id)
	if err != nil {
		return Delivery{}, fmt.Errorf("%w: %v", ErrNotFound, err)
	}
	rows, err := g.Store.Get(ctx, deliveryKey(registration, event))
	if err != nil {
		return Delivery{}, fmt.Errorf("get delivery %s: %w", id, err)
	}
	if len(rows) == 0 {
		return Delivery{}, fmt.Errorf("delivery %s: %w", id, ErrNotFound)
	}
	return deliveryOf(rows[0])
}

// changeDelivery reads delivery id, lets f decide, and writes what f returns,
// again if another was faster. f returns errUnchanged to end without a write.
func (g *Gateway) changeDelivery(ctx context.Context, id string, f func(Delivery) (Delivery, error)) (Delivery, error) {
	d, err := g.loadDelivery(ctx, id)
	if err != nil {
		return d, err
	}
	return g.changeDeliveryFrom(ctx, d, f)
}

// changeDeliveryFrom is changeDelivery for one that was read already.
func (g *Gateway) changeDeliveryFrom(ctx context.Context, d Delivery, f func(Delivery) (Delivery, error)) (Delivery, error) {
	read := true
	err := again(ctx, func() error {
		if !read {
			var err error
			if d, err = g.loadDelivery(ctx, d.ID); err != nil {
				return err
			}
		}
		read = false
		after, err := f(d)
		switch {
		case errors.Is(err, errUnchanged):
			return nil
		case err != nil:
			return err
		}
		if err = g.putDelivery(ctx, after, d.rev); err == nil {
			d = after
		}
		return err
	})
	return d, err
}

// giveUp ends d, of which no attempt could be made or recorded, however often it
// was handed out.
func (g *Gateway) giveUp(ctx context.Context, d Delivery) error {
	g.Log.Error("retry", "delivery", d.ID, "outcome", "given up", "handed_out", d.Lost)
	return g.save(ctx, d.giveUp(g.now()), d.rev)
}

// putAttempt stores one attempt of a delivery, in a row of its own. Written
// again under the same claim and start it is the same row.
func (g *Gateway) putAttempt(ctx context.Context, delivery string, a Attempt) error {
	row := Row{
		Key:     Key{Deliveries, "A#" + delivery, attemptID(delivery, a)},
		Body:    a.Answer,
		Expires: a.At.Add(g.Kept.History + MaxWaitsSum),
	}
	return putRow(ctx, g.Store, row, a, AnyRev)
}

func attemptID(delivery string, a Attempt) string {
	return idFrom("att", a.At, fmt.Sprintf("%s %d %d", delivery, a.Claim, a.At.UnixNano()))
}

// sendRetry sends the message for d's next attempt, whose claim is the caller's.
func (g *Gateway) sendRetry(ctx context.Context, d Delivery, hops int) {
	g.sendSelf(ctx, d.header(), hops, d.Start.Sub(g.now()))
}

// header returns the header of the message for d's current claim.
func (d Delivery) header() header { return header{Kind: retryMessage, ID: d.ID, Claim: d.Claim} }

// sendSelf puts the message of h on the retry queue, to be received after delay.
// A failure is no error: what it is for falls due.
func (g *Gateway) sendSelf(ctx context.Context, h header, hops int, delay time.Duration) {
	h.Hops = hops
	m, err := retryMessageOf(h, delay)
	if err == nil {
		err = g.send(ctx, RetryQueue, []Message{m})
	}
	if err != nil {
		g.Log.Warn("retry", "kind", string(h.Kind), "id", h.ID, "outcome", "not sent", "why", err.Error())
	}
}

func retryMessageOf(h header, delay time.Duration) (Message, error) {
	body, err := packHeader(h)
	return Message{Body: body, Delay: min(max(delay, 0), MaxDelay)}, err
}
