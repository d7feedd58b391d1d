// Package deployed opens the gateway as template.yaml deploys it: settings from the environment, tables and queues on
// AWS, keys from Secrets Manager. The functions' mains differ only in the part of it that they serve.
package deployed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"ringback/shared/app"
	"ringback/shared/cloud"
	"ringback/shared/config"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
)

// A Deployed is the gateway of a function with its configuration and its backend.
type Deployed struct {
	Config  config.Config
	Backend *cloud.Backend
	Gateway *gateway.Gateway
}

// Open opens the gateway with these providers, by name. The error names every variable that is missing or has a bad
// value.
func Open(ctx context.Context, providers map[string]provider.Provider) (*Deployed, error) {
	d, err := open(ctx)
	if err != nil {
		return nil, err
	}
	text, err := d.secret(ctx, "KEY_RING_SECRET", d.Config.AWS.KeyRingSecret)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("secret of KEY_RING_SECRET: %w", err)
	}
	return d.with(app.Parts{Providers: providers, Keys: keys})
}

// OpenKeyless is Open for the function retry, which receives no callbacks and makes no attempts: its gateway has no
// provider, and the function may not read any key.
func OpenKeyless(ctx context.Context) (*Deployed, error) {
	d, err := open(ctx)
	if err != nil {
		return nil, err
	}
	return d.with(app.Parts{})
}

// open sets up logging and opens the backend, without a gateway.
func open(ctx context.Context) (*Deployed, error) {
	level := &slog.LevelVar{}
	slog.SetDefault(newLogger(os.Stdout, level))
	slog.SetLogLoggerLevel(slog.LevelError) // for log.Fatal in the mains
	cfg, err := config.Load(os.Getenv)
	if err != nil {
		return nil, err
	}
	level.Set(cfg.LogLevel)
	b, err := cloud.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	b.Metrics.Units = gateway.Units()
	return &Deployed{Config: cfg, Backend: b}, nil
}

// with returns d with a gateway made of p and the backend's parts.
func (d *Deployed) with(p app.Parts) (_ *Deployed, err error) {
	p.Store, p.Queue, p.Metrics = d.Backend.Store, d.Backend.Queue, d.Backend.Metrics
	d.Gateway, err = app.New(d.Config, p)
	return d, err
}

// OperatorKey reads the operator's key and trims white space around it. Only the function api may read it.
func (d *Deployed) OperatorKey(ctx context.Context) (string, error) {
	return d.secret(ctx, "OPERATOR_KEY_SECRET", d.Config.AWS.OperatorKeySecret)
}

func (d *Deployed) secret(ctx context.Context, variable, arn string) (string, error) {
	if arn == "" {
		return "", fmt.Errorf("config: %s is not set", variable)
	}
	b, err := d.Backend.Secret(ctx, arn)
	text := strings.TrimSpace(string(b))
	if err == nil && text == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("secret of %s: %w", variable, err)
	}
	return text, nil
}

// newLogger returns a logger that writes one JSON object per line with the keys timestamp, level and message, from which
// Lambda takes a line's time and level. "Working with Lambda function logs" in the AWS Lambda Developer Guide.
func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: lambdaKeys}))
}

func lambdaKeys(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey:
		a.Key = "timestamp"
	case a.Key == slog.MessageKey:
		a.Key = "message"
	}
	return a
}
