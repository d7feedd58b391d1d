// Package config reads what a deployment may set. It is the only place that
// reads environment variables; secrets are not among them, only where they lie.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Config is all that can be set. Each field says its variable, its default and
// what it changes.
type Config struct {
	// PublicURL is the address under which providers and tenants reach the
	// gateway, without a final slash. Callback URLs begin with it, and it is
	// refused as an endpoint.
	PublicURL string `env:"PUBLIC_URL"`

	// History is how long events, final deliveries and attempts are kept: a
	// duration of at least 192h (8 days).
	History time.Duration `env:"HISTORY" envDefault:"336h"`

	// Attempts is how many POSTs one process makes at once.
	Attempts int `env:"ATTEMPTS" envDefault:"256"`

	// Brake is the number of messages waiting in the retry queue above which the
	// schedule hands out nothing more.
	Brake int `env:"BRAKE" envDefault:"10000"`

	// FairQueues sends each message with its source as message group, so that SQS
	// serves quiet sources first; SQS bills it $0.10 more per million.
	FairQueues bool `env:"FAIR_QUEUES" envDefault:"false"`

	// AllowEndpoints are address ranges that are not public and may yet be
	// endpoints: CIDR prefixes, separated by commas.
	AllowEndpoints []netip.Prefix `env:"ALLOW_ENDPOINTS"`

	// SmartBotsURL is where groups and codes are asked for, unless a source names
	// another place.
	SmartBotsURL string `env:"SMARTBOTS_URL" envDefault:"https://api.mysmartbots.com/api/simple.html"`

	// LogLevel is the least level that is logged: DEBUG, INFO, WARN or ERROR.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"INFO"`
}

// Load reads a Config from the environment that getenv gives. Its one error
// names every variable that is bad and what is wanted instead.
func Load(getenv func(string) string) (Config, error) {
	var c Config
	params, err := env.GetFieldParams(&c)
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	set := map[string]string{}
	for _, p := range params {
		if v := getenv(p.Key); v != "" {
			set[p.Key] = v
		}
	}
	if err := env.ParseWithOptions(&c, env.Options{Environment: set}); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	return c, c.check()
}

func (c Config) check() error {
	var errs []error
	if c.History < 8*24*time.Hour {
		errs = append(errs, errors.New("config: HISTORY: want a duration of at least 192h"))
	}
	if c.Attempts < 1 {
		errs = append(errs, errors.New("config: ATTEMPTS: want a number of at least 1"))
	}
	return errors.Join(errs...)
}
