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
// Ctrl-C, SIGTERM and SIGHUP finish what is under way and exit 0; a failure exits 1, a command line that
// cannot be understood 2. The next start goes on where the last one stopped, whatever stopped it.
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

// garbage is how much the heap may grow by, in percent, before it is collected, unless GOGC says so. What a
// delivery leaves behind dies young: to collect it less often than Go does by itself takes 6 MiB and spares a
// twentieth of the processor time.
const garbage = 150

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	log.SetFlags(0)
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Println("ringback:", err) // a line of JSON once it served
		stop()
		os.Exit(exitCode(err))
	}
}

// A subcommand is what can be asked for besides serving.
type subcommand struct {
	name string
	run  func(ctx context.Context, args []string, out io.Writer) error
}

var subcommands = [...]subcommand{{"send", send}, {"receive", receive}, {"listen", listen}, {"backup", backup}, {"setup-aws", setupAWS}}

// command runs what args ask for. It returns flag.ErrHelp after it has told how a command is used.
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
