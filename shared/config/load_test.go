package config_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ringback/shared/config"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestLoadOfNothingGivesTheDefaults(t *testing.T) {
	got, err := config.Load(func(string) string { return "" })
	if err != nil {
		t.Fatalf("Load of an empty environment: %v", err)
	}
	want := config.Config{
		History:        14 * 24 * time.Hour,
		MaxConcurrency: 256,
		MaxBacklog:     10_000,
		SmartBotsURL:   "https://api.mysmartbots.com/api/simple.html",
		LogLevel:       slog.LevelInfo,
		AWS:            config.AWS{Service: "ringback"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load of an empty environment (-want +got):\n%s", diff)
	}
}

func TestLoadReadsEachKindOfValue(t *testing.T) {
	got := load(t, map[string]string{
		"PUBLIC_URL":      "https://callbacks.example.com/",
		"HISTORY":         "240h",
		"MAX_CONCURRENCY": "8",
		"FIRST_ATTEMPT":   "1s",
		"FAIR_QUEUES":     "true",
		"ALLOW_ENDPOINTS": "10.1.0.0/16,fd00::/8",
		"LOG_LEVEL":       "WARN",
		"EVENTS_DEAD_URL": "https://sqs.example.com/1/dead",
	})
	want := load(t, nil)
	want.PublicURL, want.History, want.MaxConcurrency = "https://callbacks.example.com", 240*time.Hour, 8
	want.FirstAttempt, want.FairQueues, want.LogLevel = time.Second, true, slog.LevelWarn
	want.AllowEndpoints = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}
	want.AWS.EventsDeadURL = "https://sqs.example.com/1/dead"
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestOneErrorNamesEveryBadVariable(t *testing.T) {
	bad := map[string]string{
		"PUBLIC_URL":      "callbacks.example.com",
		"HISTORY":         "14 days",
		"MAX_CONCURRENCY": "0",
		"MAX_BACKLOG":     "many",
		"FIRST_ATTEMPT":   "16s",
		"FAIR_QUEUES":     "perhaps",
		"ALLOW_ENDPOINTS": "10.1.0.0",
		"SMARTBOTS_URL":   "ftp://example.com",
		"LOG_LEVEL":       "LOUD",
	}
	_, err := config.Load(func(name string) string { return bad[name] })
	if err == nil {
		t.Fatal("Load: no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(bad) {
		t.Errorf("Load: %d lines, want one for each of %d variables:\n%v", len(lines), len(bad), err)
	}
	for name, value := range bad {
		if want := "config: " + name + `="` + value + `": want `; !strings.Contains(err.Error(), want) {
			t.Errorf("Load: error lacks %q:\n%v", want, err)
		}
	}
}

func TestOldNameIsRefusedWithTheNewOne(t *testing.T) {
	for old, name := range map[string]string{"ATTEMPTS": "MAX_CONCURRENCY", "BRAKE": "MAX_BACKLOG"} {
		_, err := config.Load(func(name string) string { return map[string]string{old: "8"}[name] })
		if err == nil || !strings.Contains(err.Error(), old+" is called "+name) {
			t.Errorf("Load with %s=8: %v, want an error that names %s", old, err, name)
		}
	}
}

func TestTooShortAHistoryIsRefused(t *testing.T) {
	for value, ok := range map[string]bool{"215h": false, "216h": true, "-1h": false} {
		_, err := config.Load(func(name string) string { return map[string]string{"HISTORY": value}[name] })
		if (err == nil) != ok {
			t.Errorf("Load with HISTORY=%s: %v, want success %v", value, err, ok)
		}
	}
}

func TestFirstAttemptIsBoundedOrNotAtAll(t *testing.T) {
	for value, ok := range map[string]bool{"0": true, "99ms": false, "100ms": true, "15s": true, "15001ms": false, "-1s": false} {
		_, err := config.Load(func(name string) string { return map[string]string{"FIRST_ATTEMPT": value}[name] })
		if (err == nil) != ok {
			t.Errorf("Load with FIRST_ATTEMPT=%s: %v, want success %v", value, err, ok)
		}
	}
}

func TestOneEndpointStandsForThoseThatAreNotSet(t *testing.T) {
	got := load(t, map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:2"})
	want := config.Endpoints{
		All: "http://127.0.0.1:1", DynamoDB: "http://127.0.0.1:1", SQS: "http://127.0.0.1:2", Secrets: "http://127.0.0.1:1",
	}
	if got.AWS.Endpoints != want {
		t.Errorf("Load: endpoints %+v, want %+v", got.AWS.Endpoints, want)
	}
}

func load(t *testing.T, variables map[string]string) config.Config {
	t.Helper()
	c, err := config.Load(func(name string) string { return variables[name] })
	if err != nil {
		t.Fatalf("Load(%v): %v", variables, err)
	}
	return c
}
