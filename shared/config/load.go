package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Load reads a Config from the environment through getenv. Its error names every variable with a bad value and what the
// variable wants.
func Load(getenv func(string) string) (Config, error) {
	var c Config
	variables, err := env.GetFieldParams(&c)
	if err != nil {
		return c, fmt.Errorf("config: %w", err) // unreachable: the tags are fixed
	}
	set := map[string]string{}
	for _, v := range variables {
		if text := getenv(v.Key); text != "" {
			set[v.Key] = text
		}
	}
	var errs []error
	for _, old := range slices.Sorted(maps.Keys(renamed)) {
		if getenv(old) != "" {
			errs = append(errs, fmt.Errorf("config: %s is called %s now: want that one set instead", old, renamed[old]))
		}
	}
	bad := unreadable(env.ParseWithOptions(&c, env.Options{Environment: set}))
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	e := &c.AWS.Endpoints
	e.DynamoDB, e.SQS, e.Secrets = cmp.Or(e.DynamoDB, e.All), cmp.Or(e.SQS, e.All), cmp.Or(e.Secrets, e.All)
	for _, f := range append(bad, c.faults(bad)...) {
		errs = append(errs, fmt.Errorf("config: %s=%q: want %s", f.variable, set[f.variable], f.want))
	}
	return c, errors.Join(errs...)
}

// renamed maps variables of earlier releases to their new names. An old one that is set is an error: ignored, it would
// silently leave the limit at its default.
var renamed = map[string]string{"ATTEMPTS": "MAX_CONCURRENCY", "BRAKE": "MAX_BACKLOG"}

// A fault is a variable whose value cannot be used.
type fault struct{ variable, want string }

// wants describes the values of each type except plain text.
var wants = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():  "a duration such as 336h",
	reflect.TypeFor[int]():            "a number",
	reflect.TypeFor[bool]():           "true or false",
	reflect.TypeFor[[]netip.Prefix](): "CIDR prefixes such as 10.1.0.0/16, separated by commas",
	reflect.TypeFor[slog.Level]():     "DEBUG, INFO, WARN or ERROR",
}

// unreadable returns the variables in err, an error of package env, whose values do not parse.
func unreadable(err error) []fault {
	all, _ := errors.AsType[env.AggregateError](err)
	var out []fault
	for _, err := range all.Errors {
		p, _ := errors.AsType[env.ParseError](err)
		field, _ := reflect.TypeFor[Config]().FieldByName(p.Name) // the fields of AWS are text, which always parses
		out = append(out, fault{field.Tag.Get("env"), wants[field.Type]})
	}
	return out
}

// faults returns the variables whose values parse and cannot be used, except those in known.
func (c Config) faults(known []fault) []fault {
	var out []fault
	for _, check := range []struct {
		ok bool
		fault
	}{
		{c.PublicURL == "" || webURL(c.PublicURL), fault{"PUBLIC_URL", "a URL such as https://callbacks.example.com"}},
		{c.History >= 9*24*time.Hour, fault{"HISTORY", "a duration of at least 216h"}},
		{c.MaxConcurrency >= 1, fault{"MAX_CONCURRENCY", "a number of at least 1"}},
		{c.MaxBacklog >= 1, fault{"MAX_BACKLOG", "a number of at least 1"}},
		{c.FirstAttempt == 0 || c.FirstAttempt >= 100*time.Millisecond && c.FirstAttempt <= 15*time.Second,
			fault{"FIRST_ATTEMPT", "a duration of 0 or 100ms to 15s"}},
		{webURL(c.SmartBotsURL), fault{"SMARTBOTS_URL", "a URL such as https://api.mysmartbots.com/api/simple.html"}},
	} {
		if !check.ok && !slices.ContainsFunc(known, func(f fault) bool { return f.variable == check.variable }) {
			out = append(out, check.fault)
		}
	}
	return out
}

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}
