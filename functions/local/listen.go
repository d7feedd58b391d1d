package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A listener shows deliveries, and may forward them.
type listener struct {
	out     io.Writer
	json    bool
	colours bool
	forward *forwarder // nil: nothing is forwarded
}

func listen(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("local listen", flag.ContinueOnError)
	server := flags.String("server", "http://127.0.0.1:8080", "`URL` of the gateway")
	keyFile := flags.String("key-file", filepath.Join("ringback-data", demoKeyFile(demoTenants[0])), "`file` that holds a tenant's API key; -demo makes the default")
	forward := flags.String("forward", "", "`URL` to forward to, such as http://127.0.0.1:3000/callback")
	registration := flags.String("registration", "", "`id` of the one registration to listen to")
	asJSON := flags.Bool("json", false, "print JSON lines")
	if err := listening.parseAll(flags, args, out); err != nil {
		return err
	}
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		return fmt.Errorf("-key-file: %w", err)
	}
	c, err := newClient(*server, strings.TrimSpace(string(key)))
	if err != nil {
		return &usageError{flags.Name(), fmt.Errorf("-server: %w", err)}
	}
	l := &listener{out: out, json: *asJSON, colours: coloured(out, os.Getenv)}
	if *forward != "" {
		if _, err := webURL(*forward); err != nil {
			return &usageError{flags.Name(), fmt.Errorf("-forward: %w", err)}
		}
		l.forward = newForwarder(c, *forward)
	}
	f := &follower{client: c, registration: *registration}
	if err = f.begin(ctx); err == nil {
		err = l.greet(ctx, c, os.Stderr)
	}
	if err == nil {
		err = f.follow(ctx, l.show, func(err error) { fmt.Fprintln(os.Stderr, "ringback: listen:", err) })
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// greet tells whose deliveries will be shown.
func (l *listener) greet(ctx context.Context, c *client, notes io.Writer) error {
	var me struct {
		Scope  string
		Tenant struct{ Name string }
	}
	if _, err := c.get(ctx, "/v1/me", nil, &me); err != nil {
		return err
	}
	who := "tenant " + printable(me.Tenant.Name)
	if me.Scope == "operator" {
		who = "the operator"
	}
	fmt.Fprintf(notes, "ringback: listening with the key of %s; Ctrl-C ends\n", who)
	if l.forward != nil {
		fmt.Fprintln(notes, "ringback: what is forwarded has no webhook-signature: only the gateway can sign")
	}
	return nil
}

// A heard delivery is one line of JSON.
type heard struct {
	seenDelivery
	Forwarded *forwarded `json:"forwarded,omitempty"`
}

func (l *listener) show(ctx context.Context, d seenDelivery) {
	h := heard{seenDelivery: d}
	if l.forward != nil {
		f := l.forward.forward(ctx, d)
		h.Forwarded = &f
	}
	if !l.json {
		fmt.Fprintln(l.out, h.text(l.colours))
		return
	}
	json.NewEncoder(l.out).Encode(h) // text, numbers and a time cannot fail
}

// text returns h as one line for people.
func (h heard) text(colours bool) string {
	line := fmt.Sprintf("%s  %s  %-16s  %s", h.Created.Local().Format("15:04:05.000"),
		paint(colours, colourOf(h.Status), fmt.Sprintf("%-9s", printable(h.Status))), printable(h.EventType), printable(h.Event))
	if a := h.Last; a != nil {
		line += "  " + outcome(a.StatusCode, a.Class, a.Took)
	}
	if f := h.Forwarded; f != nil {
		colour := green
		if f.StatusCode < 200 || f.StatusCode > 299 {
			colour = red
		}
		line += "  " + paint(colours, colour, "forwarded: "+outcome(f.StatusCode, f.Error, f.Took))
	}
	return line
}

// outcome names a status code, or why there is none.
func outcome(code int, why, took string) string {
	text := printable(why)
	if code != 0 {
		text = fmt.Sprint(code)
	}
	if took != "" {
		text += " in " + printable(took)
	}
	return text
}

// ANSI colours ("ECMA-48", select graphic rendition).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func colourOf(status string) string {
	switch status {
	case "succeeded":
		return green
	case "failed":
		return red
	}
	return yellow
}

func paint(colours bool, colour, text string) string {
	if !colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// coloured reports whether out shows colours: it is a terminal, and nobody has asked for none (https://no-color.org).
func coloured(out io.Writer, getenv func(string) string) bool {
	f, ok := out.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
