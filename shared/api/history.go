package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/history"
	"ringback/shared/storage"
)

// An event is an event without its payload, or, alone, with it.
type event struct {
	ID          string              `json:"id"`
	Source      string              `json:"source"`
	Provider    string              `json:"provider"`
	Type        string              `json:"type"`
	Received    time.Time           `json:"received"`
	Time        time.Time           `json:"time,omitzero" doc:"the provider's"`
	Label       string              `json:"label,omitempty"`
	Keys        map[string][]string `json:"keys,omitempty" doc:"routing keys"`
	ContentType string              `json:"content_type,omitempty"`
	Size        int                 `json:"size" doc:"bytes of the payload"`
	Unreadable  bool                `json:"unreadable,omitempty" doc:"set aside; no tenant gets it"`
	Hidden      bool                `json:"hidden,omitempty" doc:"no grant covers it any more"`
	Erased      bool                `json:"erased,omitempty" doc:"its payload was erased by request"`
	Data        json.RawMessage     `json:"data,omitempty" doc:"the payload as JSON; of a single event"`
	Parameters  json.RawMessage     `json:"parameters,omitempty"`
}

func eventView(e history.Event) event {
	return event{
		ID: e.ID, Source: e.Source, Provider: e.Provider, Type: e.Type, Received: e.Received, Time: e.Time, Label: e.Label,
		Keys: e.Keys, ContentType: e.ContentType, Size: e.Size, Unreadable: e.Unreadable, Hidden: e.Hidden, Erased: e.Erased,
	}
}

// A delivery is one event for one registration.
type delivery struct {
	ID           string    `json:"id"`
	Event        string    `json:"event"`
	EventType    string    `json:"event_type"`
	Registration string    `json:"registration"`
	Tenant       string    `json:"tenant"`
	Source       string    `json:"source"`
	Status       string    `json:"status" enum:"pending,succeeded,failed,held,cancelled"`
	Why          string    `json:"why,omitempty" doc:"of a pending one: circuit, if it is parked until its endpoint succeeds again or it is attempted as a probe"`
	Received     time.Time `json:"received" doc:"the event"`
	Created      time.Time `json:"created"`
	Since        time.Time `json:"since,omitzero" doc:"of held, or of the final status"`
	Next         time.Time `json:"next_attempt,omitzero"`
	Made         int       `json:"attempts_made" doc:"resends excepted"`
	Replay       bool      `json:"replay,omitempty"`
	Late         bool      `json:"late,omitempty" doc:"of an ordered registration: a later one was attempted before it, or may have been"`
	Last         *attempt  `json:"last_attempt,omitempty"`
	Attempts     []attempt `json:"attempts,omitempty" doc:"oldest first, the first 100; of a single delivery"`
}

// An attempt is one POST of a delivery.
type attempt struct {
	At          time.Time `json:"at"`
	Took        string    `json:"took" doc:"until the header of the response, or the failure"`
	StatusCode  int       `json:"status_code,omitempty"`
	Class       string    `json:"class" doc:"reason of the failure; empty after a success"`
	Error       string    `json:"error,omitempty"`
	Explanation string    `json:"explanation,omitempty"`
	Manual      bool      `json:"manual,omitempty" doc:"a resend"`
	Answer      string    `json:"answer,omitempty" doc:"start of the response's body"`
}

func attemptView(a gateway.Attempt) attempt {
	return attempt{
		At: a.At, Took: a.Took.Round(time.Microsecond).String(), StatusCode: a.StatusCode, Class: string(a.Class), Error: a.Error,
		Explanation: egress.Explain(a.Class), Manual: a.Manual, Answer: strings.ToValidUTF8(string(a.Response), "\uFFFD"),
	}
}

// whyCircuit is what a parked delivery waits for.
const whyCircuit = "circuit"

func deliveryView(d history.Delivery) delivery {
	v := delivery{
		ID: d.ID, Event: d.Event, EventType: d.EventType, Registration: d.Registration, Tenant: d.Tenant, Source: d.Source,
		Status: string(d.ListedStatus), Why: d.Reason, Received: d.Received, Created: d.Created, Since: d.Since, Made: d.Attempts, Replay: d.Replay, Late: d.OutOfOrder,
	}
	switch {
	case d.Parked() && d.ListedStatus == gateway.Pending:
		v.Why = whyCircuit
	case d.ListedStatus == gateway.Pending || d.Manual:
		v.Next = d.NextAttempt
	}
	if l := d.Last; l != nil {
		v.Last = new(attemptView(gateway.Attempt{At: l.At, Took: l.Took, StatusCode: l.StatusCode, Class: l.Class, Error: l.Error}))
	}
	return v
}

// HistoryInput are the filters of events and deliveries.
type HistoryInput struct {
	OfTenant
	Registration string    `query:"registration" maxLength:"200"`
	Source       string    `query:"source" maxLength:"200"`
	Type         string    `query:"type" maxLength:"200" doc:"event type, or its beginning and *"`
	Since        time.Time `query:"since" doc:"received then or later"`
	Until        time.Time `query:"until" doc:"received before"`
	ListParameters
}

func (in HistoryInput) query() history.Query {
	return history.Query{
		Tenant: in.Tenant, Registration: in.Registration, Source: in.Source, Type: in.Type, Since: in.Since.UTC(), Until: in.Until.UTC(),
		Cursor: in.Cursor, Limit: in.Limit,
	}
}

func (s historyAPI) listEvents(ctx context.Context, c control.Caller, in *HistoryInput) (*body[page[event]], error) {
	found, next, err := s.history.Events(ctx, c, in.query())
	p := pageOf(found, next, eventView)
	if len(found) == 0 {
		p.Body.Scanned = history.ScannedTo(next)
	}
	return p, err
}

func (s historyAPI) getEvent(ctx context.Context, c control.Caller, in *ByID) (*body[event], error) {
	e, err := s.history.EventOf(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	v := eventView(e)
	if !e.Hidden && !e.Erased {
		if v.Data, v.Parameters, err = s.history.DataOf(&e.Event); err != nil {
			return nil, err
		}
	}
	return &body[event]{v}, nil
}

// rawOutput is a payload, to be saved and never shown.
type rawOutput struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte `contentType:"application/octet-stream" format:"binary"`
}

func (s historyAPI) getRaw(ctx context.Context, c control.Caller, in *ByID) (*rawOutput, error) {
	e, err := s.history.EventOf(ctx, c, in.ID)
	if err == nil && (e.Hidden || e.Erased) {
		err = storage.ErrNotFound
	}
	return &rawOutput{"application/octet-stream", `attachment; filename="` + e.ID + `.bin"`, e.Payload}, err
}

type listDeliveriesInput struct {
	HistoryInput
	Event  string `query:"event" maxLength:"200"`
	Status string `query:"status" enum:"pending,succeeded,failed,held,cancelled"`
}

func (s historyAPI) listDeliveries(ctx context.Context, c control.Caller, in *listDeliveriesInput) (*body[page[delivery]], error) {
	q := in.query()
	q.Event, q.Status = in.Event, gateway.Status(in.Status)
	found, next, err := s.history.Deliveries(ctx, c, q)
	p := pageOf(found, next, deliveryView)
	if len(found) == 0 {
		p.Body.Scanned = history.ScannedTo(next)
	}
	return p, err
}

func (s historyAPI) getDelivery(ctx context.Context, c control.Caller, in *ByID) (*body[delivery], error) {
	d, _, err := s.history.DeliveryOf(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	v := deliveryView(d)
	attempts, _, err := s.history.Attempts(ctx, d.Delivery, storage.PageRequest{})
	for _, a := range attempts {
		v.Attempts = append(v.Attempts, attemptView(a))
	}
	if v.Last != nil {
		v.Last.Answer = strings.ToValidUTF8(string(d.LastResponse()), "\uFFFD")
	}
	return &body[delivery]{v}, err
}

func (s historyAPI) listAttempts(ctx context.Context, c control.Caller, in *listOfSource) (*body[page[attempt]], error) {
	d, _, err := s.history.DeliveryOf(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	attempts, next, err := s.history.Attempts(ctx, d.Delivery, in.pageRequest())
	return pageOf(attempts, next, attemptView), err
}

func (s historyAPI) resend(ctx context.Context, c control.Caller, in *ByID) (*body[delivery], error) {
	d, err := s.history.ResendDelivery(ctx, c, in.ID)
	return &body[delivery]{deliveryView(history.Delivery{Delivery: d, ListedStatus: d.Status})}, err
}

// An endpointHealth is what is known of a registration's endpoint.
type endpointHealth struct {
	Circuit      string    `json:"circuit" enum:"closed,open" doc:"open: only probes are made; no attempt is used up"`
	Since        time.Time `json:"since,omitzero" doc:"the circuit opened"`
	NextProbe    time.Time `json:"next_probe,omitzero" doc:"the next attempt is made then or later, by a delivery that waits"`
	FailingSince time.Time `json:"failing_since,omitzero" doc:"the first failure since the last success"`
}

func healthView(h circuit.Health) *endpointHealth {
	v := &endpointHealth{Circuit: "closed"}
	if h.Failing() {
		v.FailingSince = h.FirstFailure
	}
	if h.Open {
		v.Circuit, v.Since, v.NextProbe = "open", h.Since, h.ProbeAt
	}
	return v
}
