package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receive runs an endpoint to try a registration with. Until ctx ends it verifies each delivery with the Standard
// Webhooks library and prints it.
func receive(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("local receive", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:9000", "`address` to listen on")
	secret := flags.String("secret", "", "the registration's signing `secret`, whsec_…; without it nothing is verified")
	refuse := flags.Int("refuse", 0, "respond to this `number` of deliveries with 500 first")
	if err := receiving.parseAll(flags, args, out); err != nil {
		return err
	}
	e := &tryEndpoint{out: out, refuse: *refuse}
	if *secret != "" {
		var err error
		if e.verifier, err = standardwebhooks.NewWebhook(*secret); err != nil {
			return errors.New("-secret: want whsec_ and base64")
		}
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(out, "receiving on http://%s\n", ln.Addr())
	server := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// A tryEndpoint responds with 200 to a delivery with a valid signature and with 401 to any other.
type tryEndpoint struct {
	verifier *standardwebhooks.Webhook // nil: 200 to each

	mu     sync.Mutex
	out    io.Writer
	refuse int
}

func (e *tryEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 2<<20))
	if err != nil {
		return // the gateway closed the connection
	}
	status, verdict := http.StatusOK, "not verified"
	if e.verifier != nil {
		verdict = "verified"
		if err := e.verifier.Verify(body, r.Header); err != nil {
			status, verdict = http.StatusUnauthorized, "bad signature"
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse > 0 {
		e.refuse--
		status = http.StatusInternalServerError
	}
	fmt.Fprintf(e.out, "%d %s %s %s\n%s\n", status, verdict, r.Header.Get("webhook-id"), r.Header.Get("Content-Type"), body)
	w.WriteHeader(status)
}
