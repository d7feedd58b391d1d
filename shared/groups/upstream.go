package groups

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// Limits of a call to SmartBots.
const (
	upstreamTime   = 5 * time.Second
	upstreamAnswer = 64 << 10 // bytes that are read
)

// checkUpstream asks SmartBots about the code, through each source with upstream credentials in order of creation,
// with our own callback URL. The first OK creates the group, or updates known. Otherwise the error is a *Refusal
// with SmartBots' own text if it gave one.
func (gs *Groups) checkUpstream(ctx context.Context, c control.Caller, known gateway.Group, q CallbackRequest, code string) (gateway.Group, error) {
	sources, err := gs.upstreamSources(ctx)
	if err != nil {
		return gateway.Group{}, err
	}
	why := refused(wrongCode)
	for _, s := range sources {
		a, err := gs.askUpstream(ctx, *s, q)
		switch _, refused := errors.AsType[*Refusal](err); {
		case refused:
			why = err
			continue
		case err != nil:
			return gateway.Group{}, err
		}
		return gs.saveUpstreamGroup(ctx, c, known, GroupChange{Source: s.ID, Name: q.Group, UUID: a.GroupUUID, GroupID: a.GroupID}, code)
	}
	return gateway.Group{}, why
}

// ConnectGroup sets the callback of a group at SmartBots itself, through a source with an API key there, and
// creates or updates the group as SmartBots describes it. The error wraps storage.ErrInvalid if the source has no
// key, and is a *Refusal if SmartBots refuses.
func (gs *Groups) ConnectGroup(ctx context.Context, source, name, code string) (gateway.Group, error) {
	s, err := gs.control.Source(ctx, source)
	if err != nil {
		return gateway.Group{}, err
	}
	if s.Upstream.APIKey == "" {
		return gateway.Group{}, fmt.Errorf("upstream: %w: the source has no API key of SmartBots", storage.ErrInvalid)
	}
	a, err := gs.askUpstream(ctx, s, CallbackRequest{Group: name, Secret: code})
	if err != nil {
		return gateway.Group{}, err
	}
	known, err := gs.groupNamed(ctx, name)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return known, err
	}
	return gs.saveUpstreamGroup(ctx, control.Operator(), known, GroupChange{Source: s.ID, Name: name, UUID: a.GroupUUID, GroupID: a.GroupID}, sha1Hex(code))
}

func (gs *Groups) upstreamSources(ctx context.Context) ([]*gateway.Source, error) {
	var out []*gateway.Source
	err := storage.Each(ctx, gs.gw.Store, storage.Query{Table: storage.Registrations, PK: gateway.ListKey("sources", "").PK, Consistent: true}, func(r storage.Row) error {
		s, err := gs.control.Source(ctx, r.SK)
		if err == nil && s.Upstream.APIKey != "" {
			out = append(out, &s)
		}
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	})
	slices.SortFunc(out, func(a, b *gateway.Source) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// saveUpstreamGroup stores a group as SmartBots described it, for c.
func (gs *Groups) saveUpstreamGroup(ctx context.Context, c control.Caller, known gateway.Group, ch GroupChange, code string) (gateway.Group, error) {
	ch.UUID = cmp.Or(ch.UUID, known.UUID)
	if ch.UUID == "" || ch.check() != nil {
		return known, refused("SmartBots' response has no UUID of the group")
	}
	if known.ID != "" {
		ch.Name = "" // it keeps its name
		return gs.setGroup(ctx, c, known, ch, code)
	}
	grp, err := gs.putGroup(ctx, c, ident.New("grp", gs.gw.Clock()), ch, code)
	if errors.Is(err, storage.ErrConflict) {
		return grp, refused("another call is setting this group; try again")
	}
	return grp, err
}

// An upstreamReply is SmartBots' response ("Set HTTP callback to be called on group events", Output).
type upstreamReply struct {
	Result     string `json:"result"`
	ResultText string `json:"resulttext"`
	GroupUUID  string `json:"group_uuid"`
	GroupID    string `json:"group_id"`
}

// askUpstream sends q to SmartBots for s. A FAIL, or no response, is a *Refusal.
func (gs *Groups) askUpstream(ctx context.Context, s gateway.Source, q CallbackRequest) (upstreamReply, error) {
	if gs.gw.Egress.Paused {
		return upstreamReply{}, refused("the gateway is paused: it asks SmartBots nothing")
	}
	form, err := gs.upstreamForm(ctx, s, q)
	if err != nil {
		return upstreamReply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, upstreamTime)
	defer cancel()
	at := cmp.Or(s.Upstream.BaseURL, gs.smartBots)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return upstreamReply{}, fmt.Errorf("upstream of %s: its base_url cannot be used", s.ID)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// It follows no redirect, and keeps no connection: such calls are rare.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ResponseHeaderTimeout: upstreamTime}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return upstreamReply{}, refused("SmartBots cannot be reached; try again later")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, upstreamAnswer))
	if err != nil || resp.StatusCode != http.StatusOK {
		return upstreamReply{}, refused("SmartBots cannot be reached; try again later")
	}
	return readUpstream(string(body))
}

// upstreamForm returns the request's parameters: the code as given, the source's own key and callback URL, and the
// gateway's own app.
func (gs *Groups) upstreamForm(ctx context.Context, s gateway.Source, q CallbackRequest) (url.Values, error) {
	apiKey, err := gs.gw.Keys.Open(gateway.SourceKey(s.ID).PK, "upstream", s.Upstream.APIKey)
	if err != nil {
		return nil, err
	}
	callback, err := gs.control.FirstCallbackURL(ctx, s)
	if err != nil {
		return nil, err
	}
	form := url.Values{
		"action": {"set_http_callback"}, "apikey": {apiKey}, "group": {q.Group},
		"app_name": {"Ringback"}, "app_uuid": {appUUIDOf(s.ID)}, "url": {callback},
	}
	if q.Secret != "" {
		form.Set("secret", q.Secret)
	}
	if q.SecretSHA1 != "" {
		form.Set("secret_sha1", q.SecretSHA1)
	}
	return form, nil
}

// appUUIDOf returns the UUID of a source's gateway at SmartBots: version 8 (RFC 9562, section 5.8), made of the
// source's id.
func appUUIDOf(source string) string {
	b := sha256.Sum256([]byte("ringback app " + source))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// readUpstream parses a response in each form that SmartBots uses: JSON, form-encoded, or a text that is exactly
// OK for success. A FAIL is a *Refusal with SmartBots' text.
func readUpstream(body string) (upstreamReply, error) {
	var a upstreamReply
	text := strings.TrimSpace(body)
	if json.Unmarshal([]byte(text), &a) != nil || a.Result == "" {
		a = upstreamReply{Result: text}
		if form, err := url.ParseQuery(text); err == nil && form.Has("result") {
			a = upstreamReply{form.Get("result"), form.Get("resulttext"), form.Get("group_uuid"), form.Get("group_id")}
		} else if text != "OK" {
			a.ResultText = text
		}
	}
	a.GroupUUID, a.GroupID = strings.ToLower(strings.TrimSpace(a.GroupUUID)), strings.TrimSpace(a.GroupID)
	if a.Result == "OK" {
		return a, nil
	}
	return a, refused(cmp.Or(printable(a.ResultText), wrongCode))
}

// printable returns a line of text without control characters, cut to MaxName bytes.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), gateway.MaxName)], "")
}
