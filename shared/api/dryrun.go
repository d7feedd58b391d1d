package api

import (
	"context"
	"time"

	"ringback/shared/control"
	"ringback/shared/ident"
)

// tested names the event that a test sent.
type tested struct {
	Event    string `json:"event"`
	Delivery string `json:"delivery" doc:"id of its delivery, which is created soon"`
}

func (s jobAPI) testRegistration(ctx context.Context, c control.Caller, in *ByID) (*body[tested], error) {
	e, err := s.control.TestRegistration(ctx, c, in.ID)
	return &body[tested]{tested{e.ID, ident.Delivery(in.ID, e.ID)}}, err
}

type dryRunInput struct {
	ByID
	Body struct {
		Since      time.Time  `json:"since"`
		EventTypes *[]string  `json:"event_types,omitempty"`
		Match      matchField `json:"match,omitempty"`
	}
}

type dryRun struct {
	Looked   int     `json:"looked" doc:"events that the tenant may have, newest first"`
	Matched  int     `json:"matched"`
	Complete bool    `json:"complete" doc:"all events since then were read"`
	Events   []event `json:"events" nullable:"false" doc:"the newest 100 that match"`
}

func (s jobAPI) dryRun(ctx context.Context, c control.Caller, in *dryRunInput) (*body[dryRun], error) {
	ch, err := RegistrationFields{EventTypes: in.Body.EventTypes, Match: in.Body.Match}.change()
	if err != nil {
		return nil, err
	}
	run, err := s.history.DryRunRegistration(ctx, c, in.ID, in.Body.Since.UTC(), ch)
	v := dryRun{Looked: run.Scanned, Matched: run.Matched, Complete: run.Complete, Events: []event{}}
	for _, e := range run.Events {
		v.Events = append(v.Events, eventView(e))
	}
	return &body[dryRun]{v}, err
}
