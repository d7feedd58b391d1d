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

// errProfiles is the error of an address that other machines could reach. Profiles show memory contents and cost CPU.
var errProfiles = errors.New("want an address of this machine alone, such as 127.0.0.1:6060")

// parseProfiles returns the address to serve profiles on, or "" to serve none.
func parseProfiles(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if at, err := netip.ParseAddrPort(text); err != nil || !at.Addr().IsLoopback() {
		return "", errProfiles
	}
	return text, nil
}

// serveProfiles serves the profiles of net/http/pprof at addr until ctx ends, and prints their URL to out.
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
	go server.Serve(ln) // ends with ctx
	fmt.Fprintf(out, "ringback: profiles on http://%s/debug/pprof/\n", ln.Addr())
	return ln.Addr(), nil
}
