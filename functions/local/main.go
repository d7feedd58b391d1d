// Command local serves the whole gateway in one process on one SQLite file: the callbacks of all providers,
// the API, the console, the worker and the schedule.
//
//	local [-addr 127.0.0.1:8080] [-data ./ringback-data] [-public-url URL] [-trusted-proxy CIDR] [-demo]
//	local send events/<file> [--to URL] [--token T] [--lambda]
//	local receive [-addr 127.0.0.1:9000] [-secret whsec_…] [-refuse N]
//	local listen [-server URL] [-key-file F] [-forward URL] [-registration ID] [-json]
//	local backup [-data ./ringback-data] <file>
//	local setup-aws [-name ringback] [-data ./ringback-data] [-reach HOST]
//
// On Ctrl-C, SIGTERM and SIGHUP it finishes the work in flight and exits with 0. It exits with 1 after a failure and
// with 2 if the command line is wrong. The next start continues where the last one stopped, also after kill -9.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// gcPercent is by how much the heap may grow, in percent, before a garbage collection, unless GOGC is set. Go's own
// default is 100. Fewer collections take 6 MiB more memory and save a twentieth of the processor time, since a
// delivery's objects live briefly.
const gcPercent = 150

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log.SetFlags(0)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Println("ringback:", err) // a line of JSON if run has set the logger
		stop()
		os.Exit(exitCode(err))
	}
}

// A subcommand is a command other than serving.
type subcommand struct {
	name string
	run  func(ctx context.Context, args []string, out io.Writer) error
}

var subcommands = [...]subcommand{{"send", send}, {"receive", receive}, {"listen", listen}, {"backup", backup}, {"setup-aws", setupAWS}}

// command runs the command that args name. It returns flag.ErrHelp after it has printed a command's usage.
func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "" || args[0][0] == '-' {
		s, err := parseSettings(args, os.Getenv, out)
		if err != nil {
			return err
		}
		return run(ctx, s, out)
	}
	for _, c := range subcommands {
		if c.name == args[0] {
			return c.run(ctx, args[1:], out)
		}
	}
	if args[0] == "help" {
		return command(ctx, []string{"-help"}, out)
	}
	return &usageError{"local", fmt.Errorf("command %q is not known", args[0])}
}
