package app_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

// A refusing Store does not write the rows that refuses names.
type refusing struct {
	storage.Store
	refuses func(storage.Row) bool
}

func (s refusing) Put(ctx context.Context, r storage.Row, was string) error {
	if s.refuses(r) {
		return errBroken
	}
	return s.Store.Put(ctx, r, was)
}

// TestEndpointThatIsGoneIsDisabledThoughThatFailsAtFirst answers 410 to the only
// event there is while the registration cannot be written.
func TestEndpointThatIsGoneIsDisabledThoughThatFailsAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "gone.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(http.StatusGone))
		var refused atomic.Int64
		var mended atomic.Bool
		w.restartWith(w.ring, func(store storage.Store) storage.Store {
			return refusing{store, func(row storage.Row) bool {
				return row.PK == "R#"+r.ID && row.SK == "R" && !mended.Load() && refused.Add(1) > 0
			}}
		})
		w.chat(path, groupA, "hello")
		w.within(time.Hour, "told to end, and refused", func() bool { return refused.Load() > 0 })
		mended.Store(true)
		w.within(time.Hour, "disabled", func() bool {
			now, err := w.control().Registration(t.Context(), c, r.ID)
			return err == nil && now.State == gateway.Disabled
		})
	})
}

// TestErasureCountsWhatItCouldNotNote lets an erasure empty an event, and not
// write that it did until the next try.
func TestErasureCountsWhatItCouldNotNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "knows.example", control.RegistrationChange{})
		w.chat(path, groupA, "a secret of a data subject")
		w.within(time.Hour, "delivered", func() bool { return len(e.Succeeded()) == 1 })
		id := ident.New("job", time.Now())
		var erased, refused atomic.Int64
		w.restartWith(w.ring, func(store storage.Store) storage.Store {
			return refusing{store, func(row storage.Row) bool {
				if strings.HasPrefix(row.PK, "E#") && bytes.Contains(row.Data, []byte(`"erased":true`)) {
					erased.Add(1)
				}
				return row.PK == "J#"+id && erased.Load() == 1 && refused.Add(1) <= 3 // as often as it is tried in a row
			}}
		})
		gatewaytest.Must(w.control().StartErasure(t.Context(), id, s.ID, gateway.Match{"group": {groupA}}))(w.t)
		if j := w.job(id); j.Status != gateway.JobDone || j.Done != 1 || refused.Load() < 3 {
			t.Errorf("erasure is %s, %d done, after %d refusals; want 1 done", j.Status, j.Done, refused.Load())
		}
	})
}
