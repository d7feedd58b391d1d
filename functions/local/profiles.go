package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"
)

// errProfiles is told of an address that others could reach: profiles show what
// the process has in hand, and cost it time.
var errProfiles = errors.New("want an address of this machine alone, such as 127.0.0.1:6060")

// parseProfiles returns where profiles are to be served; empty: nowhere.
func parseProfiles(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if at, err := netip.ParseAddrPort(text); err != nil || !at.Addr().IsLoopback() {
		return "", errProfiles
	}
	return text, nil
}

// serveProfiles serves the profiles of net/http/pprof at addr until ctx ends, and tells out where.
func serveProfiles(ctx context.Context, addr string, out io.Writer) (at net.Addr, err error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(ln) // it ends with ctx
	fmt.Fprintf(out, "ringback: profiles on http://%s/debug/pprof/\n", ln.Addr())
	return ln.Addr(), nil
}
