package gateway

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ringback/shared/storage"
)

// removalStep takes a tenant's rows away, a page at a time. It needs no
// cursor: what is left is what the tenant's partition still names.
func (g *Gateway) removalStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	page, err := g.Store.List(ctx, storage.Query{Table: storage.Registrations, PK: tenantKey(j.Tenant).PK, Limit: 10, Consistent: true})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("rows of %s: %w", j.Tenant, err)
	}
	left := 0
	for _, row := range page.Rows {
		if row.Key == tenantKey(j.Tenant) || row.SK == "J#"+j.ID {
			continue
		}
		left++
		if err := g.removeOf(ctx, j, row); err != nil {
			return time.Time{}, false, err
		}
	}
	if left > 0 || page.Next != "" {
		return time.Time{}, false, nil
	}
	for _, k := range []storage.Key{listKey("tenants", j.Tenant), tenantKey(j.Tenant), ofTenant(j.Tenant, "J", j.ID)} {
		if err := g.Store.Delete(ctx, k, storage.AnyRev); err != nil {
			return time.Time{}, false, fmt.Errorf("delete tenant %s: %w", j.Tenant, err)
		}
	}
	return time.Time{}, true, nil
}

// removeOf takes away what one row of a tenant's partition names, and then the
// row. Of a registration with many deliveries it takes a part.
func (g *Gateway) removeOf(ctx context.Context, j *Job, row storage.Row) error {
	kind, rest, _ := strings.Cut(row.SK, "#")
	var err error
	switch kind {
	case "R":
		if more, err := g.eraseRegistration(ctx, j, rest); more || err != nil {
			return err
		}
	case "K":
		var p keyPlace
		if err = storage.Decode(row, &p); err == nil {
			err = g.deleteKeyRows(ctx, p.Hashes)
		}
	case "G":
		source, grant, _ := strings.Cut(rest, "#")
		if err = g.Store.Delete(ctx, grantKey(source, j.Tenant, grant), storage.AnyRev); err == nil {
			err = g.publish(ctx, source)
		}
	case "J":
		if _, err = g.CancelJob(ctx, rest); err == nil || errors.Is(err, storage.ErrNotFound) {
			err = g.Store.Delete(ctx, jobKey(rest), storage.AnyRev)
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s of %s: %w", row.SK, j.Tenant, err)
	}
	j.Done++
	return g.Store.Delete(ctx, row.Key, storage.AnyRev)
}

// eraseRegistration removes a registration and every trace of its deliveries. It
// returns true if there is more of them than a page.
func (g *Gateway) eraseRegistration(ctx context.Context, j *Job, id string) (more bool, err error) {
	if err := g.removeRegistration(ctx, id, whyNoTenant); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return false, err
	}
	for shard := range historyShards {
		page, err := g.Store.List(ctx, storage.Query{Table: storage.Deliveries, PK: deliveryPK(id, shard), Consistent: true})
		if err != nil {
			return false, fmt.Errorf("deliveries of %s: %w", id, err)
		}
		for _, r := range page.Rows {
			if err := g.eraseAttempts(ctx, DeliveryID(id, r.SK)); err != nil {
				return false, err
			}
			if err := g.Store.Delete(ctx, r.Key, storage.AnyRev); err != nil {
				return false, fmt.Errorf("delete delivery of %s: %w", id, err)
			}
			j.Done++
		}
		if len(page.Rows) > 0 || page.Next != "" {
			return true, nil
		}
	}
	if err := g.Store.Delete(ctx, healthKey(id), storage.AnyRev); err != nil {
		return false, err
	}
	return false, g.Store.Delete(ctx, registrationKey(id), storage.AnyRev)
}

func (g *Gateway) eraseAttempts(ctx context.Context, delivery string) error {
	q := storage.Query{Table: storage.Deliveries, PK: "A#" + delivery, Consistent: true}
	return storage.Each(ctx, g.Store, q, func(r storage.Row) error { return g.Store.Delete(ctx, r.Key, storage.AnyRev) })
}

// erasureStep empties the events of a source that match: payload, query and
// routing keys go, and what endpoints answered to them. The rows stay, so that
// a repeat by the provider is still known for one.
func (g *Gateway) erasureStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	ended, err := g.walk(ctx, j, func(shard int) storage.Query {
		return storage.Query{Table: storage.Deliveries, PK: eventPK(j.Source, shard)}
	}, func(row storage.Row) error {
		var er eventRow
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
		return g.eraseEvent(ctx, j.ID, row.Key, er)
	})
	return time.Time{}, ended, err
}

func (g *Gateway) eraseEvent(ctx context.Context, job string, k storage.Key, er eventRow) error {
	ids, err := g.fannedOutTo(ctx, er)
	if err != nil {
		return err
	}
	replayed, err := g.replayedTo(ctx, er.ID)
	if err != nil {
		return err
	}
	ids = append(ids, replayed...)
	for _, id := range ids {
		delivery := DeliveryID(id, er.ID)
		if err := g.eraseAttempts(ctx, delivery); err != nil {
			return err
		}
		_, err := g.changeDelivery(ctx, delivery, func(d Delivery) (Delivery, error) {
			if d.body = nil; d.Status == Pending || d.Status == Held {
				d = d.cancel("erased", g.now())
			}
			return d, nil
		})
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
	}
	_, err = storage.Change(ctx, g.Store, k, func(er *eventRow, r *storage.Row) error {
		er.Erased, er.ErasedBy, er.Keys, er.Query, r.Body = true, job, nil, "", nil
		return nil
	})
	return err
}

// fannedOutTo returns the registrations that an event was for.
func (g *Gateway) fannedOutTo(ctx context.Context, er eventRow) ([]string, error) {
	ids := er.Match
	for n := 0; er.Long; n++ {
		list, _, err := storage.Load[fanOutRow](ctx, g.Store, fanOutKey(er.ID, n))
		if errors.Is(err, storage.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("chunk %s of %s: %w", strconv.Itoa(n), er.ID, err)
		}
		if ids = append(ids, list.IDs...); list.Next == nil {
			break
		}
	}
	return ids, nil
}

// replayedTo returns the registrations to which an event was replayed.
func (g *Gateway) replayedTo(ctx context.Context, event string) ([]string, error) {
	var ids []string
	err := storage.Each(ctx, g.Store, storage.Query{Table: storage.Deliveries, PK: replayedKey(event, "").PK, Consistent: true}, func(r storage.Row) error {
		ids = append(ids, r.SK)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("replays of %s: %w", event, err)
	}
	return ids, nil
}

// codeStep turns the registrations made with an older code of a group into
// tombstones, and tells each app.
func (g *Gateway) codeStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	group, _, err := storage.Load[Group](ctx, g.Store, groupKey(j.Group))
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, true, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	q := storage.Query{Table: storage.Registrations, PK: groupKey(j.Group).PK, After: j.Cursor, Consistent: true}.Prefix("A#")
	page, err := g.Store.List(ctx, q)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("apps of %s: %w", j.Group, err)
	}
	for _, row := range page.Rows {
		var a App
		if err := storage.Decode(row, &a); err != nil {
			return time.Time{}, false, err
		}
		if err := g.removeByCode(ctx, a.Registration, group); err != nil {
			return time.Time{}, false, err
		}
		j.Done++
	}
	j.Cursor = page.Next
	return time.Time{}, page.Next == "", nil
}
