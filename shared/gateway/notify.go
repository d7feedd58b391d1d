package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/shared/ident"
	"ringback/shared/provider"
)

// notifiedCacheSize is how many operational events a process remembers as sent, so that not each exhausted
// delivery sends the same one.
const notifiedCacheSize = 1_000

// operationalData is the payload of an operational event.
type operationalData struct {
	Registration string `json:"registration,omitempty"`
	Endpoint     string `json:"endpoint,omitempty"` // without credentials
	Why          string `json:"why"`
	Delivery     string `json:"delivery,omitempty"`
	Group        string `json:"group,omitempty"` // UUID; of source.disconnected
	Label        string `json:"label,omitempty"` // of the callback key; of source.disconnected
}

// A notifier sends operational events.
type notifier struct {
	*core
	notified *lru.Cache[string, struct{}] // ids of events sent
}

// notify sends the operational event kind about r to the tenant's registrations that name it; the operator finds
// it among the source's events. Its id holds the hour, so each kind and registration has at most one an hour. An
// operational event causes no further one.
func (t *notifier) notify(ctx context.Context, kind string, about *provider.Event, r *Registration, why string) error {
	if OwnEvent(about) && about.Type != TestEventType && about.Recipient == "" {
		return nil
	}
	data := operationalData{Registration: r.ID, Endpoint: r.Endpoint.RedactedURL, Why: why}
	if kind == deliveryExhausted {
		data.Delivery = ident.Delivery(r.ID, about.ID)
	}
	return t.notifyOf(ctx, kind, r.Source, about.Provider, r.Tenant, r.ID, data)
}

// notifyOf sends an operational event of this kind about a registration or a source to tenant. The event's id depends on
// the hour, so that a tenant gets at most one of a kind about the same thing an hour, whatever number of processes sends it.
func (t *notifier) notifyOf(ctx context.Context, kind, source, providerName, tenant, about string, data operationalData) error {
	payload, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	now := t.Clock()
	id, err := ident.Event(source, "", now.Truncate(time.Hour), kind, about)
	if err != nil {
		return err
	}
	e := provider.Event{
		ID: id, Source: source, Provider: providerName, Type: kind, Received: now, Time: now,
		ContentType: "application/json", Payload: payload, Tenant: tenant,
	}
	if t.notified.Contains(id) {
		return nil
	}
	if err := t.SendTo(ctx, e); err != nil {
		return fmt.Errorf("notify %s of %s: %w", kind, about, err)
	}
	t.notified.Add(id, struct{}{})
	return nil
}
