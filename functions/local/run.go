package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"ringback/shared/api"
	"ringback/shared/app"
	"ringback/shared/console"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

// The handlers of each queue. Those of the slow queue, for endpoints that are not known to be fast, are separate, so
// that new events and retries never wait for a slow endpoint.
const (
	eventHandlers = 512
	retryHandlers = 256
	slowHandlers  = 256
	handlerTime   = time.Minute
	retryInterval = time.Minute // as the schedule on AWS
	drainTime     = 20 * time.Second
)

// run serves until ctx ends, and then finishes the work in flight.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.LogLevel}))
	signal.Ignore(syscall.SIGPIPE) // the reader of the log may have ended
	slog.SetDefault(log)
	slog.SetLogLoggerLevel(slog.LevelError) // for net/http's log lines and main's error
	db, err := embedded.Open(ctx, s.data, embedded.Options{Relaxed: s.relaxed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if f, err := os.Stat(s.data); err == nil && f.Mode().Perm()&0o077 != 0 {
		log.Warn("store", "folder", s.data, "mode", f.Mode().Perm().String(), "why", "others may enter the folder of the data and the keys: want mode 0700")
	}
	used, err := db.HasRows(ctx)
	if err != nil {
		return err
	}
	keys, operatorKey, where, err := s.secrets(os.Getenv, used)
	if err != nil {
		return err
	}
	m := &metrics{}
	g, err := app.New(s.Config, app.Parts{Steps: transfer.Steps,
		Store: db, Queue: db, Keys: keys, Providers: all.Providers(), Metrics: m, Log: log, SingleProcess: true,
	})
	if err != nil {
		return err
	}
	if err := transfer.CheckRing(ctx, g); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(s.data, keyRingFile), err)
	}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	own, allow, err := s.guard(ln.Addr())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	g.Egress.OwnHosts, g.Egress.Allow = append(g.Egress.OwnHosts, own...), append(g.Egress.Allow, allow...)
	if s.pprof != "" {
		at, err := serveProfiles(ctx, s.pprof, out)
		if err != nil {
			return errors.Join(err, ln.Close())
		}
		g.Egress.OwnHosts = append(g.Egress.OwnHosts, ownHosts(at)...)
	}
	fmt.Fprintf(out, "ringback: listening on http://%s, data in %s, operator key %s\n", ln.Addr(), filepath.Clean(s.data), where)
	if s.Paused {
		fmt.Fprintln(out, "ringback: paused: callbacks wait in the queue, and nothing is sent")
	}
	w := work{g: g, db: db, ready: &readiness{store: db, paused: s.Paused}}
	o := &insight{g: g, metrics: m, ready: w.ready, logBytes: db.WALBytes, operatorKey: operatorKey, smartBotsURL: s.SmartBotsURL}
	if s.demo {
		w.demo, err = newDemo(ctx, g, s.data, nearURL(ln.Addr()), where, out)
		if ctx.Err() != nil {
			err = nil // interrupted; the next start makes what is missing
		}
		if w.demo == nil {
			return errors.Join(err, ln.Close())
		}
		defer w.demo.close()
	}
	return w.serve(ctx, ln, s.forwarded(routes(o)))
}

// routes serves the routes of template.yaml's HTTP API, and /readyz and /metrics.
func routes(o *insight) http.Handler {
	calls := api.New(o.g, api.Config{OperatorKey: o.operatorKey, SmartBotsURL: o.smartBotsURL})
	page := console.New(calls, console.Config{Keys: o.g.Keys, PublicURL: o.g.PublicURL})
	mux := http.NewServeMux()
	for name := range o.g.Providers {
		mux.Handle("/callbacks/"+name+"/", app.Callback(o.g, name))
	}
	mux.Handle("/callbacks/", app.Callback(o.g, "")) // rejects, logs and counts callbacks of an unknown provider
	mux.Handle("/console", page)
	mux.Handle("/console/", page)
	mux.HandleFunc("GET /readyz", o.serveReady)
	mux.HandleFunc("GET /metrics", o.serveMetrics)
	mux.Handle("/", calls)
	return api.Clean(mux)
}

// work is what the process does beside serving HTTP: consuming the queues, retry, and the demo.
type work struct {
	g     *gateway.Gateway
	db    *embedded.DB
	ready *readiness
	demo  *demo // nil: none
}

// serve runs the server, the queues' consumers and retry until ctx ends or one of them fails.
func (w work) serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(watched{ln, w.g.RefusedUnread}); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		return server.Shutdown(end)
	})
	if w.ready.paused {
		return group.Wait()
	}
	group.Go(func() error { return w.consume(ctx, storage.EventsQueue, w.g.FanOut, eventHandlers) })
	group.Go(func() error {
		if err := w.g.Recover(ctx); err != nil {
			slog.Error("retry", "outcome", "not recovered", "why", err.Error()) // claims of the last process fall due by themselves
		}
		group.Go(func() error { return w.consume(ctx, storage.SlowQueue, w.g.RedeliverSlow, slowHandlers) })
		return w.consume(ctx, storage.RetryQueue, w.g.Redeliver, retryHandlers)
	})
	group.Go(func() error { return w.schedule(ctx) })
	if w.demo != nil {
		group.Go(func() error { return w.demo.play(ctx) })
	}
	return group.Wait()
}

func (w work) consume(ctx context.Context, q storage.QueueName, h storage.Handler, handlers int) error {
	return w.ready.consuming(func() error {
		return w.db.Serve(ctx, q, embedded.Consumer{Handler: h, Batch: 1, Concurrency: handlers, Timeout: handlerTime})
	})
}

// schedule runs Retry at once and then every minute. It logs an error and goes on, since the next run may succeed.
func (w work) schedule(ctx context.Context) error {
	t := time.NewTicker(retryInterval)
	defer t.Stop()
	for {
		runCtx, cancel := context.WithTimeout(ctx, retryInterval)
		switch err := w.g.Retry(runCtx); {
		case err == nil:
			w.ready.retryRan(time.Now())
		case ctx.Err() == nil:
			slog.Error("retry", "outcome", "failed", "why", err.Error())
		}
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// guard returns the hosts that a process which listens at an address must not call, its own, and the address ranges
// that it may call beside public ones: loopback, if it listens there itself. Then only people on this machine can
// create registrations; otherwise any tenant could reach this machine's local services.
func (s settings) guard(at net.Addr) (own []string, allow []netip.Prefix, err error) {
	if tcp, ok := at.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		allow = loopback
	} else if s.demo {
		err = errors.New("-demo: want an -addr of this machine alone, such as 127.0.0.1:8080, since its endpoint is on loopback")
	}
	return ownHosts(at), allow, err
}

// ownHosts returns each host and port under which this machine reaches a listener of its own. They are forbidden as
// endpoints, also where loopback is allowed.
func ownHosts(at net.Addr) []string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return nil
	}
	hosts := []string{tcp.IP.String()}
	if tcp.IP.IsUnspecified() {
		hosts = []string{"0.0.0.0", "::1"} // 0.0.0.0 covers all of 127.0.0.0/8
		addrs, _ := net.InterfaceAddrs()   // after an error, loopback's addresses are still forbidden
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				hosts = append(hosts, n.IP.String())
			}
		}
	}
	if tcp.IP.IsUnspecified() || tcp.IP.IsLoopback() {
		hosts = append(hosts, "localhost")
	}
	for i, h := range hosts {
		hosts[i] = net.JoinHostPort(h, strconv.Itoa(tcp.Port))
	}
	return hosts
}

// nearURL returns a URL at which this machine reaches a listener of its own.
func nearURL(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", tcp.Port)
	}
	return "http://" + at.String()
}
