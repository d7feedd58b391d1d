// Command local serves the whole gateway in one process on one SQLite file:
// the callbacks of all providers, the API, the worker and the schedule.
//
//	local [-addr 127.0.0.1:8080] [-data ./ringback-data] [-public-url URL] [-trusted-proxy CIDR]
//	local send events/<file> [--to URL] [--token T] [--lambda]
//	local receive [-addr 127.0.0.1:9000] [-secret whsec_…] [-refuse N]
//
// Ctrl-C finishes what is under way and exits 0. The next start goes on where
// the last one stopped, whatever stopped it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := command(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "ringback:", err)
		stop()
		os.Exit(1)
	}
}

// command runs what args ask for.
func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "send" {
		return send(ctx, args[1:], out)
	}
	if len(args) > 0 && args[0] == "receive" {
		return receive(ctx, args[1:], out)
	}
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		return fmt.Errorf("command %q: want send, or flags only (see -help)", args[0])
	}
	s, err := parseSettings(args, os.Getenv)
	if err != nil {
		return err
	}
	return run(ctx, s, out)
}
