package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// This file checks, on the way, what must hold of each single effect.

// historyShards is how many partitions the deliveries of a registration have,
// as shared/gateway/rows.go names them.
const historyShards = 16

// about returns the ids of the events that a message is about, and the texts of
// their items as far as it carries them.
func about(body string) (ids, texts []string) {
	line, payload, _ := strings.Cut(body, "\n")
	var header struct {
		E     []struct{ ID string }
		Event string
	}
	json.Unmarshal([]byte(line), &header) // one of the retry queue has neither
	for _, e := range header.E {
		ids = append(ids, e.ID)
	}
	if header.Event != "" {
		ids = append(ids, header.Event)
	}
	return ids, textOf.FindAllString(payload, -1)
}

// queued notes which things a message of the events queue brings, now that it is
// durable, and under which ids.
func (w *world) queued(body string) {
	ids, texts := about(body)
	if len(ids) != len(texts) {
		return // an event of the gateway's own, or a chunk
	}
	for n, id := range ids {
		if i := w.itemNamed(texts[n]); i != nil {
			i.queued = true
			w.named(i, id)
		}
	}
}

// named notes that i has a webhook-id.
func (w *world) named(i *item, id string) {
	if other, ok := w.ids[id]; ok && other != i {
		w.fail("%s is the webhook-id of %s and of %s", id, other.text, i.text)
	}
	w.ids[id] = i
	if !slices.Contains(i.ids, id) {
		i.ids = append(i.ids, id)
	}
	if n := len(i.ids); n > 1 && (i.natural || n > i.sends) {
		w.fail("%s, sent %d times, came as %v", i.text, i.sends, i.ids)
	}
}

// finished checks that a message of the events queue was deleted only when all
// that it was about is recorded, or another message is about it.
func (m *inMemory) finished(body string) {
	ids, _ := about(body)
	for _, id := range ids {
		i := m.w.ids[id]
		if i == nil || m.holds(id) {
			continue
		}
		for _, r := range m.w.wishes {
			row, recorded := m.delivery(r, id)
			if recorded && !m.attended(r, row) {
				m.w.fail("the message of %s, %s, was deleted, and nobody sees to its delivery for %s", i.text, id, r.id)
			}
			if !recorded && !r.accepted(id) && r.wants(i, i.sent.Add(-m.w.slack()), time.Now()) {
				m.w.fail("the message of %s, %s, was deleted, and nothing is recorded for %s", i.text, id, r.id)
			}
		}
	}
}

// attended reports whether a delivery of r is over, due or in a lane, or parked behind
// a circuit that is due, or will be woken by a job that is, or has a message.
func (m *inMemory) attended(r *wish, row storage.Row) bool {
	d := m.w.readDelivery(row)
	health, _ := m.stored(gateway.HealthKey(r.id))
	if d.Status != gateway.Pending || d.Lane || !row.Due.IsZero() || !health.Due.IsZero() || m.holds(ident.Delivery(r.id, d.event)) {
		return true
	}
	for at, rows := range m.parts {
		if j := rows[0]; strings.HasPrefix(at.pk, "J#") && !j.Due.IsZero() && bytes.Contains(j.Data, []byte(`"wake"`)) && bytes.Contains(j.Data, []byte(r.id)) {
			return true
		}
	}
	return false
}

// delivery returns the row of r's delivery of an event.
func (m *inMemory) delivery(r *wish, event string) (storage.Row, bool) {
	for shard := range historyShards {
		if row, ok := m.stored(storage.Key{Table: storage.Deliveries, PK: fmt.Sprintf("D#%s#%d", r.id, shard), SK: event}); ok {
			return row, true
		}
	}
	return storage.Row{}, false
}

// written checks a row that takes the place of another.
func (m *inMemory) written(before, r storage.Row) {
	switch kind, _, _ := strings.Cut(r.PK, "#"); {
	case kind == "D":
		m.writtenDelivery(before, r)
	case kind == "R" && r.SK == "H":
		m.opened[r.PK] = m.opened[r.PK] || bytes.Contains(r.Data, []byte(`"open":true`))
	case kind == "R" && r.SK == "R":
		m.writtenRegistration(r)
	case kind == "S" && r.SK == "V":
		m.published(strings.TrimPrefix(r.PK, "S#"))
	case kind == "L":
		m.writtenLane(before, r)
	}
}

// writtenLane checks that a lane is left by its last runner only when nothing
// waits in it but what is being appended: that comes before Seq grows.
func (m *inMemory) writtenLane(before, r storage.Row) {
	m.laneWrites++
	if r.SK != "L" {
		m.appended[r.Key] = m.laneWrites
		return
	}
	var was, lane struct {
		Seq    int
		Runner string
	}
	if err := json.Unmarshal(r.Data, &lane); err != nil {
		m.w.fail("row %s: %v", r.PK, err)
	}
	if json.Unmarshal(before.Data, &was) != nil || lane.Seq > was.Seq {
		m.grown[r.Key] = m.laneWrites
	}
	if lane.Runner != "" || !r.Due.IsZero() {
		return
	}
	for _, waiting := range m.parts[of(r.Key)] {
		if waiting.SK != "L" && m.appended[waiting.Key] < m.grown[r.Key] {
			m.w.fail("lane %s is left, and %s waits in it", r.PK, waiting.SK)
		}
	}
}

func (m *inMemory) writtenDelivery(before, r storage.Row) {
	w := m.w
	d := w.readDelivery(r)
	if d.Status == gateway.Pending && !d.Lane && r.Due.IsZero() && !m.opened[gateway.HealthKey(d.registration).PK] {
		w.fail("delivery %s of %s is pending, and not due", d.event, d.registration)
	}
	if before.Data == nil {
		return
	}
	was := w.readDelivery(before)
	switch {
	case was.Status == gateway.Succeeded && d.Status != gateway.Succeeded:
		w.fail("delivery %s of %s succeeded, and is %s now", d.event, d.registration, d.Status)
	case d.Lost > was.Lost && r.Due.Sub(d.Start) <= gateway.Lookahead:
		w.fail("delivery %s of %s is handed out from %v to %v, which leaves no time for it", d.event, d.registration, d.Start, r.Due)
	case d.Claim < was.Claim:
		w.fail("delivery %s of %s goes back from claim %d to %d", d.event, d.registration, was.Claim, d.Claim)
	case d.Made < was.Made && d.Anew.Equal(was.Anew):
		w.fail("delivery %s of %s forgets attempts: %d after %d", d.event, d.registration, d.Made, was.Made)
	}
}

// writtenRegistration notes that a registration is to receive nothing, which
// nobody but the writer knows yet.
func (m *inMemory) writtenRegistration(row storage.Row) {
	var reg gateway.Registration
	if err := json.Unmarshal(row.Data, &reg); err != nil {
		m.w.fail("row %s: %v", row.PK, err)
	}
	for _, r := range m.w.wishes {
		if r.app != "" && r.app == reg.AppUUID && r.tenant.id == reg.Tenant {
			r.id = reg.ID
		}
		if r.id == reg.ID {
			r.written, r.offSince, r.isOff = time.Now(), time.Time{}, reg.State != gateway.Enabled
		}
	}
}

// published notes that all processes learn of what was written of a source.
func (m *inMemory) published(source string) {
	for _, r := range m.w.wishes {
		if r.source.ID == source && r.isOff && r.offSince.IsZero() {
			r.offSince = time.Now()
		}
	}
}

// checkOff checks that a POST does not come long after its registration, its
// delivery or its endpoint's 410 put an end to it.
func (w *world) checkOff(p *post) {
	r, before := p.wish, p.at.Add(-w.slack())
	if p.item != nil && !r.offSince.IsZero() && r.offSince.Before(before) {
		w.fail("%s got %s, and is off since %v", r.id, p.item.text, r.offSince.Format("02 15:04:05.000"))
	}
	m, ok := w.on.(*inMemory)
	if !ok || slices.Contains(r.asked, p.id) {
		return
	}
	if row, ok := m.delivery(r, p.id); ok {
		if d := w.readDelivery(row); d.Status == gateway.Cancelled && d.Since.Before(before) {
			w.fail("%s got %s, which was cancelled at %v", r.id, p.id, d.Since.Format("02 15:04:05.000"))
		}
	}
}
