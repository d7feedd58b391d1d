package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// A scheduleJSON is the JSON of a schedule.Schedule.
type scheduleJSON struct{ json.RawMessage }

// Schema describes a name or a list of waits. schedule.Schedule.Check checks the waits, with better messages than a
// schema's.
func (s scheduleJSON) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: `"standard", "every-5-minutes", or a list of waits such as ["30s","5m"]`,
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}}},
	}
}

// value returns the schedule; nil if there was none, or null.
func (s scheduleJSON) value() (v *schedule.Schedule, err error) {
	if s.RawMessage != nil {
		err = json.Unmarshal(s.RawMessage, &v)
	}
	return v, err
}

// A registration is a registration as its tenant and the operator see it.
type registration struct {
	ID          string              `json:"id"`
	Tenant      string              `json:"tenant"`
	Source      string              `json:"source"`
	Description string              `json:"description"`
	Created     time.Time           `json:"created"`
	Rev         int                 `json:"rev" doc:"grows with every change; If-Match takes it"`
	State       string              `json:"state" enum:"enabled,disabled,removed"`
	Why         string              `json:"why,omitempty" doc:"when it was disabled or removed"`
	Since       time.Time           `json:"since" doc:"of the state"`
	URL         string              `json:"url" doc:"a login and password are shown as ***"`
	Headers     map[string]string   `json:"headers" nullable:"false" doc:"values are shown as ***"`
	ConsentedAt time.Time           `json:"proven,omitzero" doc:"the endpoint consented to deliveries under this URL"`
	EventTypes  []string            `json:"event_types" nullable:"false"`
	Match       map[string][]string `json:"match,omitempty" doc:"absent: all that is granted"`
	Format      string              `json:"format" enum:"standard,raw"`
	Schedule    scheduleJSON        `json:"schedule"`
	Timeout     string              `json:"timeout" doc:"of one attempt"`
	Rate        float64             `json:"rate" doc:"deliveries per second over all processes, up to a twentieth more in a minute; at least one an hour; 0: no limit of its own"`
	Concurrency int                 `json:"concurrency" doc:"POSTs at once over all processes, up to 50; more, or 0 for the tenant's, hold in each process"`
	Ordered     bool                `json:"ordered"`
	Secrets     []validity          `json:"secrets" nullable:"false" doc:"newest first"`
	RawTokens   []validity          `json:"raw_tokens,omitempty"`
	Group       string              `json:"group,omitempty" doc:"of a registration made by set_http_callback"`
	AppName     string              `json:"app_name,omitempty"`
	AppUUID     string              `json:"app_uuid,omitempty"`
	Health      *endpointHealth     `json:"health,omitempty" doc:"of one registration, and of lists"`
	Secret      string              `json:"secret,omitempty" doc:"whsec_…; shown once"`
	Warnings    []string            `json:"warnings,omitempty"`
	Note        string              `json:"note,omitempty"`
}

func (s registrationAPI) registrationView(r gateway.Registration) registration {
	v := registration{
		ID: r.ID, Tenant: r.Tenant, Source: r.Source, Description: r.Description, Created: r.Created, Rev: r.Rev,
		State: string(r.State), Why: r.Reason, Since: r.Since, URL: r.Endpoint.RedactedURL, ConsentedAt: r.Endpoint.ConsentedAt, Headers: map[string]string{},
		EventTypes: r.EventTypes, Match: r.Match, Format: string(r.Format), Timeout: "15s", Rate: r.Rate,
		Concurrency: r.Concurrency, Ordered: r.Ordered, Secrets: s.validities(r.Secrets), RawTokens: s.validities(r.RawTokens),
		Group: r.Group, AppName: r.AppName, AppUUID: r.AppUUID,
	}
	v.Schedule.RawMessage, _ = json.Marshal(r.Schedule) // names and durations cannot fail
	if r.Timeout != 0 {
		v.Timeout = r.Timeout.String()
	}
	for name := range r.Endpoint.Headers {
		v.Headers[name] = hidden
	}
	return v
}

// A RegistrationFields holds the fields of a registration that can be set and changed.
type RegistrationFields struct {
	URL         *string           `json:"url,omitempty" doc:"http or https; login:password@ becomes Basic authorization"`
	EventTypes  *[]string         `json:"event_types,omitempty" doc:"the provider's names; * may end an entry"`
	Match       matchField        `json:"match,omitempty" doc:"routing key to wanted values: keys AND, values OR, exact text"`
	Format      *string           `json:"format,omitempty" enum:"standard,raw"`
	Schedule    scheduleJSON      `json:"schedule,omitempty"`
	Timeout     string            `json:"timeout,omitempty" doc:"of one attempt, 1s to 15s"`
	Headers     map[string]string `json:"headers,omitempty" doc:"all headers; *** leaves a value as it is"`
	Description *string           `json:"description,omitempty"`
	RawToken    *string           `json:"raw_token,omitempty" doc:"raw deliveries of tencent-chat are signed with it"`
	Rate        *float64          `json:"rate,omitempty" doc:"deliveries per second over all processes, up to a twentieth more in a minute; at least one an hour; 0: no limit of its own"`
	Concurrency *int              `json:"concurrency,omitempty" doc:"POSTs at once over all processes, up to 50; more, or 0 for the tenant's, hold in each process"`
	Ordered     *bool             `json:"ordered,omitempty" doc:"one at a time per group"`
}

// change returns the fields as control takes them: nil for a field that was not sent.
func (f RegistrationFields) change() (control.RegistrationChange, error) {
	ch := control.RegistrationChange{
		URL: f.URL, Headers: f.Headers, EventTypes: f.EventTypes, Format: (*gateway.Format)(f.Format), Description: f.Description,
		RawToken: f.RawToken, Rate: f.Rate, Concurrency: f.Concurrency, Ordered: f.Ordered,
	}
	if f.Match.Sent {
		ch.Match = new(gateway.Match(f.Match.Value))
	}
	if f.Timeout != "" {
		d, err := duration("timeout", f.Timeout, 0)
		if err != nil {
			return ch, err
		}
		if d == 0 {
			d = -1 // out of range: 0 would mean the default
		}
		ch.Timeout = &d
	}
	var err error
	ch.Schedule, err = f.Schedule.value()
	return ch, err
}

type createRegistrationInput struct {
	Once
	Body struct {
		Source string `json:"source"`
		RegistrationFields
	}
}

// createRegistration returns the new registration with its secret. A repeat under the same idempotency key returns it
// without the secret, which is not stored in readable form, and with a note that says so.
func (s registrationAPI) createRegistration(ctx context.Context, c control.Caller, in *createRegistrationInput) (*created[registration], error) {
	if err := in.Body.Match.rejectNull("match"); err != nil {
		return nil, err
	}
	ch, err := in.Body.change()
	if err != nil {
		return nil, err
	}
	var secret, why string
	made, err := createOnce(ctx, s.server, in.Once, "reg", in, func(id string) (r gateway.Registration, err error) {
		r, secret, err = s.control.CreateRegistration(ctx, c, id, in.Body.Source, ch)
		return r, err
	}, func(id string) (gateway.Registration, error) {
		why = note
		return s.control.Registration(ctx, c, id)
	})
	if err != nil {
		return nil, err
	}
	v := s.registrationView(made.Body)
	v.Secret, v.Note = secret, why
	v.Warnings, err = s.control.Warnings(ctx, made.Body)
	return &created[registration]{made.Replayed, v}, err
}

type listRegistrationsInput struct {
	ListParameters
	OfTenant
	Source string `query:"source" maxLength:"200"`
}

func (s registrationAPI) listRegistrations(ctx context.Context, c control.Caller, in *listRegistrationsInput) (*body[page[registration]], error) {
	rs, next, err := s.control.ListRegistrations(ctx, c, in.Tenant, in.Source, in.pageRequest())
	if err != nil {
		return nil, err
	}
	known, err := s.history.Healths(ctx, rs...)
	return pageOf(rs, next, func(r gateway.Registration) registration {
		v := s.registrationView(r)
		v.Health = healthView(known[r.ID])
		return v
	}), err
}

// registered is the response that shows a registration.
type registered struct {
	ETag string `header:"ETag"`
	Body registration
}

func (s registrationAPI) registered(r gateway.Registration, err error) (*registered, error) {
	return &registered{`"` + strconv.Itoa(r.Rev) + `"`, s.registrationView(r)}, err
}

func (s registrationAPI) getRegistration(ctx context.Context, c control.Caller, in *ByID) (*registered, error) {
	r, err := s.control.Registration(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	known, err := s.history.Healths(ctx, r)
	out, err := s.registered(r, err)
	out.Body.Health = healthView(known[r.ID])
	return out, err
}

type changeRegistrationInput struct {
	ByID
	IfMatch string `header:"If-Match" maxLength:"40" doc:"ETag of the revision that is to be changed"`
	Body    RegistrationFields
}

func (s registrationAPI) changeRegistration(ctx context.Context, c control.Caller, in *changeRegistrationInput) (*registered, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	ch, err := in.Body.change()
	if err != nil {
		return nil, err
	}
	r, err := s.control.ChangeRegistration(ctx, c, in.ID, rev, ch)
	if err != nil {
		return nil, err
	}
	out, _ := s.registered(r, nil)
	out.Body.Warnings, err = s.control.Warnings(ctx, r)
	return out, err
}

// revision reads an If-Match header (RFC 9110, section 13.1.1); 0 for none or *.
func revision(text string) (int, error) {
	text = strings.Trim(strings.TrimPrefix(strings.TrimSpace(text), "W/"), `"`)
	if text == "" || text == "*" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("If-Match: %w: want the ETag of a registration", storage.ErrInvalid)
	}
	return n, nil
}

func (s registrationAPI) deleteRegistration(ctx context.Context, c control.Caller, in *ByID) (*empty, error) {
	return nil, s.control.DeleteRegistration(ctx, c, in.ID)
}

type enableInput struct {
	ByID
	Body *struct {
		Held string `json:"held,omitempty" enum:"release,skip" doc:"what happens to held deliveries"`
	}
}

func (s registrationAPI) enableRegistration(ctx context.Context, c control.Caller, in *enableInput) (*registered, error) {
	if in.Body != nil && in.Body.Held == "release" {
		return s.registered(s.control.EnableAndRelease(ctx, c, in.ID))
	}
	if in.Body == nil || in.Body.Held == "" {
		switch r, err := s.control.Registration(ctx, c, in.ID); {
		case err != nil:
			return nil, err
		case r.Ordered && r.State == gateway.Disabled:
			return nil, fmt.Errorf("held: %w: want release or skip: the registration is ordered, and what was held goes first or not at all", storage.ErrInvalid)
		}
	}
	return s.registered(s.control.EnableRegistration(ctx, c, in.ID))
}

func (s registrationAPI) disableRegistration(ctx context.Context, c control.Caller, in *ByID) (*registered, error) {
	return s.registered(s.control.DisableRegistration(ctx, c, in.ID))
}

type rotateInput struct {
	ByID
	Body *rotation
}

func (s registrationAPI) rotateRegistration(ctx context.Context, c control.Caller, in *rotateInput) (*registered, error) {
	overlap, err := in.Body.overlap(control.DefaultOverlap)
	if err != nil {
		return nil, err
	}
	r, secret, err := s.control.RotateSecret(ctx, c, in.ID, overlap)
	out, _ := s.registered(r, nil)
	out.Body.Secret = secret
	return out, err
}

type rotateRawTokenInput struct {
	ByID
	Body struct {
		RawToken string `json:"raw_token"`
		Overlap  string `json:"overlap,omitempty" doc:"how long the old one is listed; deliveries are signed with the new one"`
	}
}

func (s registrationAPI) rotateRawToken(ctx context.Context, c control.Caller, in *rotateRawTokenInput) (*registered, error) {
	overlap, err := duration("overlap", in.Body.Overlap, control.DefaultOverlap)
	if err != nil {
		return nil, err
	}
	return s.registered(s.control.RotateRawToken(ctx, c, in.ID, in.Body.RawToken, overlap))
}
