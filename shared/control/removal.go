package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// removalStep deletes a page of a tenant's rows. It needs no cursor: the tenant's partition lists what is left.
func (lc *lifecycle) removalStep(ctx context.Context, j *gateway.Job) (time.Time, bool, error) {
	page, err := lc.gw.Store.List(ctx, storage.Query{Table: storage.Registrations, PK: gateway.TenantKey(j.Tenant).PK, Limit: 10, Consistent: true})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("rows of %s: %w", j.Tenant, err)
	}
	left := 0
	for _, row := range page.Rows {
		if row.Key == gateway.TenantKey(j.Tenant) || row.SK == "J#"+j.ID {
			continue
		}
		left++
		if err := lc.removeOf(ctx, j, row); err != nil {
			return time.Time{}, false, err
		}
	}
	if left > 0 || page.Next != "" {
		return time.Time{}, false, nil
	}
	for _, k := range []storage.Key{gateway.ListKey("tenants", j.Tenant), gateway.TenantKey(j.Tenant), gateway.TenantLinkKey(j.Tenant, "J", j.ID)} {
		if err := lc.gw.Store.Delete(ctx, k, storage.AnyRev); err != nil {
			return time.Time{}, false, fmt.Errorf("delete tenant %s: %w", j.Tenant, err)
		}
	}
	return time.Time{}, true, nil
}

// removeOf deletes what a row of a tenant's partition refers to, and then the row; of a registration with many
// deliveries, a part.
func (lc *lifecycle) removeOf(ctx context.Context, j *gateway.Job, row storage.Row) error {
	kind, rest, _ := strings.Cut(row.SK, "#")
	var err error
	switch kind {
	case "R":
		if more, err := lc.eraseRegistration(ctx, j, rest); more || err != nil {
			return err
		}
	case "K":
		err = lc.deleteKeysAt(ctx, row.Key)
	case "G":
		source, grant, _ := strings.Cut(rest, "#")
		if err = lc.gw.Store.Delete(ctx, gateway.GrantKey(source, j.Tenant, grant), storage.AnyRev); err == nil {
			err = lc.gw.Publish(ctx, source)
		}
	case "J":
		if _, err = lc.gw.CancelJob(ctx, rest); err == nil || errors.Is(err, storage.ErrNotFound) {
			err = lc.gw.Store.Delete(ctx, gateway.JobKey(rest), storage.AnyRev)
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s of %s: %w", row.SK, j.Tenant, err)
	}
	j.Done++
	return lc.gw.Store.Delete(ctx, row.Key, storage.AnyRev)
}

// eraseRegistration deletes a registration with every trace of its deliveries. It returns true if there is more
// than a page.
func (lc *lifecycle) eraseRegistration(ctx context.Context, j *gateway.Job, id string) (more bool, err error) {
	if err := lc.removeRegistration(ctx, id, gateway.ReasonNoTenant); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return false, err
	}
	for shard := range gateway.HistoryShards {
		page, err := lc.gw.Store.List(ctx, storage.Query{Table: storage.Deliveries, PK: gateway.DeliveryPK(id, shard), Consistent: true})
		if err != nil {
			return false, fmt.Errorf("deliveries of %s: %w", id, err)
		}
		for _, r := range page.Rows {
			err := lc.eraseAttempts(ctx, ident.Delivery(id, r.SK))
			if err == nil && r.Expires.IsZero() { // unfinished: its event is retained for it
				err = lc.gw.Release(ctx, r.SK, id)
			}
			if err == nil {
				err = lc.gw.Store.Delete(ctx, r.Key, storage.AnyRev)
			}
			if err != nil {
				return false, fmt.Errorf("delete delivery of %s: %w", id, err)
			}
			j.Done++
		}
		if len(page.Rows) > 0 || page.Next != "" {
			return true, nil
		}
	}
	for _, k := range [...]storage.Key{gateway.HealthKey(id), gateway.RateKey(id), gateway.LeasesKey(id), gateway.RegistrationKey(id)} {
		if err := lc.gw.Store.Delete(ctx, k, storage.AnyRev); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (lc *lifecycle) eraseAttempts(ctx context.Context, delivery string) error {
	q := storage.Query{Table: storage.Deliveries, PK: "A#" + delivery, Consistent: true}
	return storage.Each(ctx, lc.gw.Store, q, func(r storage.Row) error { return lc.gw.Store.Delete(ctx, r.Key, storage.AnyRev) })
}

// erasureStep erases the matching events of a source: their payload, query and routing keys, and endpoints' responses
// to them. The rows stay, so that a repeat by the provider is still recognised as a duplicate.
func (lc *lifecycle) erasureStep(ctx context.Context, j *gateway.Job) (time.Time, bool, error) {
	ended, err := lc.gw.Walk(ctx, j, func(shard int) storage.Query {
		return storage.Query{Table: storage.Deliveries, PK: gateway.EventPK(j.Source, shard)}
	}, func(rows []storage.Row) (int, error) {
		for _, row := range rows {
			if err := lc.erase(ctx, j, row); err != nil {
				return 0, err
			}
		}
		return len(rows), nil
	})
	return time.Time{}, ended, err
}

func (lc *lifecycle) erase(ctx context.Context, j *gateway.Job, row storage.Row) error {
	var er gateway.EventRow
	if err := storage.Decode(row, &er); err != nil {
		return err
	}
	switch {
	case er.ErasedBy == j.ID:
		j.Done++ // by a chunk that ended before it could say so
		return nil
	case er.Erased || !j.Match.Accepts(er.Keys):
		return nil
	}
	j.Done++
	return lc.eraseEvent(ctx, j.ID, row.Key, er)
}

// eraseEvent erases an event's deliveries first and its row last: a job that crashes in between finds the row not erased
// and does it again. Unfinished deliveries are cancelled, since they have no payload any more.
func (lc *lifecycle) eraseEvent(ctx context.Context, job string, k storage.Key, er gateway.EventRow) error {
	ids, err := lc.fannedOutTo(ctx, er)
	if err != nil {
		return err
	}
	replayed, err := lc.replayedTo(ctx, er.ID)
	if err != nil {
		return err
	}
	ids = append(ids, replayed...)
	for _, id := range ids {
		delivery := ident.Delivery(id, er.ID)
		if err := lc.eraseAttempts(ctx, delivery); err != nil {
			return err
		}
		_, err := lc.gw.ChangeDelivery(ctx, delivery, func(d gateway.Delivery) (gateway.Delivery, error) {
			if d = d.WithoutResponse(); d.Status == gateway.Pending || d.Status == gateway.Held {
				d = d.Cancel(gateway.ReasonErased, lc.gw.Clock())
			}
			return d, nil
		})
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
	}
	_, err = storage.Change(ctx, lc.gw.Store, k, func(er *gateway.EventRow, r *storage.Row) error {
		er.Erased, er.ErasedBy, er.Keys, er.Query, r.Body = true, job, nil, "", nil
		return nil
	})
	return err
}

func (lc *lifecycle) fannedOutTo(ctx context.Context, er gateway.EventRow) ([]string, error) {
	ids := er.Match
	for n := 0; er.Chunked; n++ {
		list, _, err := storage.Load[gateway.FanOutRow](ctx, lc.gw.Store, gateway.FanOutKey(er.ID, n))
		if errors.Is(err, storage.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("chunk %d of %s: %w", n, er.ID, err)
		}
		if ids = append(ids, list.IDs...); list.Next == nil {
			break
		}
	}
	return ids, nil
}

func (lc *lifecycle) replayedTo(ctx context.Context, event string) ([]string, error) {
	var ids []string
	err := storage.Each(ctx, lc.gw.Store, storage.Query{Table: storage.Deliveries, PK: gateway.ReplayedKey(event, "").PK, Consistent: true}, func(r storage.Row) error {
		ids = append(ids, r.SK)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("replays of %s: %w", event, err)
	}
	return ids, nil
}
