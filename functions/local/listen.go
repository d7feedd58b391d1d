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

// A listener shows deliveries and may forward them.
type listener struct {
	out     io.Writer
	json    bool
	colours bool
	forward *forwarder // nil: show only
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
	if err = f.start(ctx); err == nil {
		err = l.introduce(ctx, c, os.Stderr)
	}
	if err == nil {
		err = f.follow(ctx, l.show, func(err error) { fmt.Fprintln(os.Stderr, "ringback: listen:", err) })
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// introduce prints whose deliveries will be shown.
func (l *listener) introduce(ctx context.Context, c *client, notes io.Writer) error {
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

// A listenedDelivery is one line of JSON.
type listenedDelivery struct {
	shownDelivery
	Forwarded *forwarded `json:"forwarded,omitempty"`
}

func (l *listener) show(ctx context.Context, shown shownDelivery) {
	d := listenedDelivery{shownDelivery: shown}
	if l.forward != nil {
		f := l.forward.forward(ctx, shown)
		d.Forwarded = &f
	}
	if !l.json {
		fmt.Fprintln(l.out, d.text(l.colours))
		return
	}
	json.NewEncoder(l.out).Encode(d) // cannot fail: text, numbers and a time
}

// text returns d as one line for people.
func (d listenedDelivery) text(colours bool) string {
	line := fmt.Sprintf("%s  %s  %-16s  %s", d.Created.Local().Format("15:04:05.000"),
		paint(colours, colourOf(d.Status), fmt.Sprintf("%-9s", printable(d.Status))), printable(d.EventType), printable(d.Event))
	if a := d.Last; a != nil {
		line += "  " + outcome(a.StatusCode, a.Class, a.Took)
	}
	if f := d.Forwarded; f != nil {
		colour := green
		if f.StatusCode < 200 || f.StatusCode > 299 {
			colour = red
		}
		line += "  " + paint(colours, colour, "forwarded: "+outcome(f.StatusCode, f.Error, f.Took))
	}
	return line
}

// outcome returns a status code, or the reason why there is none, with the time it took.
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

// coloured reports whether to use colours: out is a terminal, and the environment does not forbid them
// (https://no-color.org).
func coloured(out io.Writer, getenv func(string) string) bool {
	f, ok := out.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
