package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var notFileName = regexp.MustCompile(`[^a-z0-9]+`)

// profileSeconds is how long a CPU profile is.
const profileSeconds = 5

// profile begins a CPU profile of the runner, if profiles are asked for. The
// function that it returns waits for its end and takes one of the heap.
func (s *stage) profile(ctx context.Context, what string) func() error {
	if s.profiles == "" {
		return func() error { return nil }
	}
	name := filepath.Join(s.profiles, strings.Trim(notFileName.ReplaceAllString(what, "-"), "-"))
	done := make(chan error, 1)
	go func() { done <- s.fetch(ctx, fmt.Sprintf("profile?seconds=%d", profileSeconds), name+".cpu") }()
	return func() error {
		if err := <-done; err != nil {
			return err
		}
		return s.fetch(ctx, "heap", name+".heap")
	}
}

func (s *stage) fetch(ctx context.Context, what, file string) error {
	profile, err := get(ctx, s.runner.pprof+what)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.profiles, 0o755); err != nil {
		return err
	}
	return os.WriteFile(file+".pprof", profile, 0o644)
}

// get returns a profile.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("profile: %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}
