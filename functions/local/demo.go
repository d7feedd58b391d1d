package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// The demo's sources, tenants and registrations have fixed ids, so that the next start finds them. Its tokens and
// passwords are public; only the callback URLs are secret.
const (
	demoSDKAppID = 1400099001
	demoToken    = "demo-token"
	demoLogin    = "demo"
	demoPassword = "demo-password"

	botSource    = "src-demosbot"
	chatSource   = "src-demochat"
	statusSource = "src-demosms0"

	quayBot = "Quay Resident" // name of a bot of SmartBots
)

// demoID returns a fixed id of this kind that ends in name: ten_0000…demo1.
func demoID(kind, name string) string { return kind + "_" + strings.Repeat("0", 26-len(name)) + name }

type demoTenant struct{ id, name, key string }

var demoTenants = [...]demoTenant{
	{demoID("ten", "demo1"), "Harbor Games", "harbor"},
	{demoID("ten", "demo2"), "Quay Support", "quay"},
}

// demoKeyFile returns the name of the file that holds a tenant's API key.
func demoKeyFile(t demoTenant) string { return "demo-key-" + t.key }

// A demo is three sources, two tenants and their endpoint, which sometimes fails. All except the endpoint may be in the
// gateway already, from an earlier start.
type demo struct {
	g        *gateway.Gateway
	control  *control.Control
	data     string // folder of the tenants' keys
	base     string // URL of this process
	endpoint *http.Server
	at       string // URL of the endpoint
}

// newDemo prepares a demo and prints to out how to sign in. Its endpoint listens until close.
func newDemo(ctx context.Context, g *gateway.Gateway, data, base, operatorKey string, out io.Writer) (*demo, error) {
	d := &demo{g: g, control: control.New(g), data: data, base: base}
	if err := d.listen(); err != nil {
		return nil, err
	}
	if err := d.prepare(ctx); err != nil {
		d.close()
		return nil, fmt.Errorf("demo: %w", err)
	}
	fmt.Fprintf(out, "ringback: demo: open %s/console and sign in\n"+
		"ringback: demo:   as the operator with the key %s\n", base, operatorKey)
	for _, t := range demoTenants {
		fmt.Fprintf(out, "ringback: demo:   as the tenant %s with the key in the file %s\n", t.name, filepath.Join(data, demoKeyFile(t)))
	}
	fmt.Fprintf(out, "ringback: demo: to see deliveries as they happen: go run ./functions/local listen -server %s -key-file %s\n",
		base, filepath.Join(data, demoKeyFile(demoTenants[0])))
	return d, nil
}

// listen starts the tenants' endpoint on loopback.
func (d *demo) listen() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	d.at = "http://" + ln.Addr().String()
	d.endpoint = &http.Server{Handler: &flakyEndpoint{seen: map[string]int{}}, ReadHeaderTimeout: 5 * time.Second}
	go d.endpoint.Serve(ln) // ends with close
	return nil
}

func (d *demo) close() { d.endpoint.Close() }

func (d *demo) prepare(ctx context.Context) error {
	for _, t := range demoTenants {
		if err := d.tenant(ctx, t); err != nil {
			return fmt.Errorf("tenant %s: %w", t.name, err)
		}
	}
	for id, ch := range demoSources() {
		_, err := d.control.Source(ctx, id)
		if errors.Is(err, storage.ErrNotFound) {
			_, err = d.control.CreateSource(ctx, id, ch)
		}
		if err != nil {
			return fmt.Errorf("source %s: %w", id, err)
		}
	}
	for _, r := range demoRegistrations() {
		if err := d.registration(ctx, r); err != nil {
			return fmt.Errorf("registration for %s: %w", r.path, err)
		}
	}
	return nil
}

// tenant creates t if it does not exist, and an API key for it if its file holds no valid one.
func (d *demo) tenant(ctx context.Context, t demoTenant) error {
	file := filepath.Join(d.data, demoKeyFile(t))
	_, err := d.control.Tenant(ctx, t.id)
	if err == nil {
		var b []byte
		if b, err = os.ReadFile(file); err == nil {
			_, _, err = d.control.CallerOf(ctx, strings.TrimSpace(string(b)))
		}
	}
	var key string
	switch {
	case errors.Is(err, storage.ErrNotFound):
		_, key, err = d.control.CreateTenant(ctx, t.id, t.name, gateway.Limits{})
	case errors.Is(err, os.ErrNotExist), errors.Is(err, control.ErrUnauthorized):
		k := control.APIKey{Tenant: t.id, Scope: control.ScopeFull, Name: "demo"}
		_, key, err = d.control.CreateAPIKey(ctx, control.Operator(), demoID("key", "demo"), k)
	default:
		return err
	}
	if err != nil {
		return err
	}
	return writeOnce(file, []byte(key+"\n"))
}

func demoSources() map[string]control.SourceChange {
	return map[string]control.SourceChange{
		botSource: {Provider: "smartbots", Name: new("Second Life bots")},
		chatSource: {
			Provider: "tencent-chat", Name: new("Harbor chat app"), SDKAppID: new(uint64(demoSDKAppID)), Token: new(demoToken),
		},
		statusSource: {
			Provider: "direct", Name: new("SMS and messengers"), Basic: &provider.Login{Name: demoLogin, Password: demoPassword},
		},
	}
}

// A demoRegistration is a tenant's registration with the grant that it needs.
type demoRegistration struct {
	name   string // the end of its id
	tenant demoTenant
	source string
	grant  gateway.Match
	path   string // of the endpoint
	change control.RegistrationChange
}

func demoRegistrations() []demoRegistration {
	harbor, quay := demoTenants[0], demoTenants[1]
	return []demoRegistration{
		{"demo1", harbor, botSource, nil, "/harbor/group", control.RegistrationChange{
			Description: new("Group chat of Harbor Crew"), EventTypes: &[]string{"group_chat"},
		}},
		{"demo2", harbor, chatSource, nil, "/harbor/bot", control.RegistrationChange{
			Description: new("What people ask the helper bot"), EventTypes: &[]string{"Bot.*"}, Format: new(gateway.Raw), RawToken: new("harbor-token"),
		}},
		{"demo3", quay, statusSource, nil, "/quay/status", control.RegistrationChange{
			Description: new("Statuses of messages"), EventTypes: &[]string{"*"},
		}},
		{"demo4", quay, botSource, gateway.Match{"bot": {quayBot}}, "/quay/bot", control.RegistrationChange{
			Description: new("What happens to the Quay bot"),
		}},
	}
}

// registration creates r with its grant. If r exists it only sets the URL, since the endpoint's port changes with each
// start. It does not bring back a registration that people have deleted.
func (d *demo) registration(ctx context.Context, r demoRegistration) error {
	grant, id := demoID("grt", r.name), demoID("reg", r.name)
	_, err := d.control.Grant(ctx, r.source, grant)
	if errors.Is(err, storage.ErrNotFound) {
		_, err = d.control.CreateGrant(ctx, grant, r.source, r.tenant.id, r.grant)
	}
	if err != nil {
		return err
	}
	c := control.Caller{Scope: control.ScopeFull, Tenant: r.tenant.id, Limits: gateway.Limits{}.OrDefault()}
	url := d.at + r.path
	there, err := d.control.Registration(ctx, c, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		r.change.URL = &url
		r.change.Schedule = &schedule.Schedule{Waits: demoWaits}
		_, _, err = d.control.CreateRegistration(ctx, c, id, r.source, r.change)
	case err == nil && there.State != gateway.Removed:
		_, err = d.control.ChangeRegistration(ctx, c, id, 0, control.RegistrationChange{URL: &url})
	}
	return err
}

// demoWaits are short, so that people see retries in their first minutes.
var demoWaits = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, time.Hour}
