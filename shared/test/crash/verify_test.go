package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// verify checks what must hold after a run in which processes ended crashes
// times.
func (w *world) verify(sc scenario, crashes int) {
	w.t.Helper()
	if err := sc.check(w.out, crashes); err != nil {
		w.t.Error(err)
	}
	if sc.thin {
		return
	}
	for _, k := range w.out.rows() {
		if err := checkFannedOut(context.Background(), w.store, k); err != nil {
			w.t.Error(err)
		}
	}
}

// unfinished tells of which rows and queues something is still to be done.
func (w *world) unfinished() string {
	ctx := context.Background()
	var b strings.Builder
	for _, k := range w.out.rows() {
		if err := checkRow(ctx, w.store, k); err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	for _, q := range []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
		if d, err := w.queue.Depth(ctx, q); err != nil || d != (storage.Depth{}) {
			fmt.Fprintf(&b, "Depth(%s) = %+v, %v; want an empty queue\n", q, d, err)
		}
	}
	return b.String()
}

// checkDeliveries returns an error unless each item was accepted by each
// endpoint, under one webhook-id, and as seldom as can be: a crash repeats a
// POST at most once.
func checkDeliveries(o *outside, crashes int) error {
	ids := map[string]string{}
	for _, host := range []string{holding, refusing} {
		for _, item := range items {
			most := 1 + crashes
			if host == refusing && item == items[1] {
				most += 1 + crashes // resent, and once more if that was not answered
			}
			got := o.accepted(host, item)
			if len(got) < 1 || len(got) > most {
				return fmt.Errorf("%s accepted %q %d times, want 1 to %d", host, item, len(got), most)
			}
			for _, p := range got {
				if ids[item] == "" {
					ids[item] = p.ID
				}
				if p.ID != ids[item] || !strings.HasPrefix(p.ID, "evt_") {
					return fmt.Errorf("%q came as %s and as %s, want one webhook-id", item, ids[item], p.ID)
				}
			}
		}
	}
	return nil
}

// checkGroup returns an error unless the app heard of its callback, of the
// chat, and of its end, and of nothing after that.
func checkGroup(o *outside, _ int) error {
	seen := o.itemsAt(chatting)
	kinds := slices.Compact(slices.Sorted(slices.Values(seen)))
	end := slices.Index(seen, "callback_removed")
	if want := []string{"callback_removed", "callback_set", "group_chat"}; !slices.Equal(kinds, want) || len(slices.Compact(seen[end:])) != 1 {
		return fmt.Errorf("%s saw %q, want %q and nothing after callback_removed", chatting, seen, want)
	}
	return nil
}

// checkOrder returns an error unless the endpoint accepted each item, and in
// their order: only a crash can make one late, and then it says so.
func checkOrder(o *outside, crashes int) error {
	var first []post
	for _, item := range items {
		got := o.accepted(ordered, item)
		if len(got) < 1 || len(got) > 1+2*crashes { // a chat without an answer is chatted again, as another event
			return fmt.Errorf("%s accepted %q %d times, want 1 to %d", ordered, item, len(got), 1+2*crashes)
		}
		for _, before := range first {
			if o.place(before) > o.place(got[0]) && !(before.Late && crashes > 0) {
				return fmt.Errorf("%s accepted %q after %q, late %v after %d crashes", ordered, before.Item, item, before.Late, crashes)
			}
		}
		first = append(first, got[0])
	}
	return nil
}

// checkRow returns an error if something of the row under k is still to be
// done: it is neither final nor empty.
func checkRow(ctx context.Context, s storage.Store, k storage.Key) error {
	kind, _, _ := strings.Cut(k.PK, "#")
	if k.Table != storage.Deliveries || !strings.Contains("DJL", kind) {
		return nil
	}
	rows, err := s.Get(ctx, k)
	if err != nil || len(rows) == 0 {
		return err
	}
	var data struct{ Status, Runner string }
	if err := json.Unmarshal(rows[0].Data, &data); err != nil {
		return fmt.Errorf("row %s %s: %v", k.PK, k.SK, err)
	}
	due, ended := rows[0].Due, true
	switch kind {
	case "D":
		ended = data.Status == string(gateway.Succeeded) || data.Status == string(gateway.Cancelled)
	case "J":
		ended = data.Status == string(gateway.JobDone)
	case "L":
		ended = k.SK == "L" && data.Runner == "" // else somebody waits in the lane
	}
	if !ended || !due.IsZero() {
		return fmt.Errorf("row %s %s: status %q, runner %q, due %v; want it at its end", k.PK, k.SK, data.Status, data.Runner, due)
	}
	return nil
}

// checkFannedOut returns an error unless each registration of the event under k
// has a delivery, or has been removed before its turn came.
func checkFannedOut(ctx context.Context, s storage.Store, k storage.Key) error {
	if !strings.HasPrefix(k.PK, "E#") {
		return nil
	}
	rows, err := s.Get(ctx, k)
	if err != nil || len(rows) == 0 {
		return err
	}
	var event struct{ Match []string }
	if err := json.Unmarshal(rows[0].Data, &event); err != nil {
		return fmt.Errorf("event %s: %v", k.SK, err)
	}
	for _, id := range event.Match {
		keys := append(deliveryKeys(id, k.SK), storage.Key{Table: storage.Registrations, PK: "R#" + id, SK: "R"})
		rows, err := s.Get(ctx, keys...)
		if err != nil {
			return err
		}
		removed := slices.ContainsFunc(rows, func(r storage.Row) bool { return r.SK == "R" && bytes.Contains(r.Data, []byte(`"state":"removed"`)) })
		if len(rows) != 2 && !removed {
			return fmt.Errorf("event %s has %d deliveries for %s, want 1", k.SK, len(rows)-1, id)
		}
	}
	return nil
}

// deliveryKeys returns the places where a delivery can be: which one it is, is
// the gateway's affair.
func deliveryKeys(registration, event string) []storage.Key {
	var out []storage.Key
	for shard := range 16 {
		out = append(out, storage.Key{Table: storage.Deliveries, PK: fmt.Sprintf("D#%s#%d", registration, shard), SK: event})
	}
	return out
}
