package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
)

// A usageError says what is wrong with a command line.
type usageError struct {
	command string // the command whose -help to read
	err     error
}

func (e *usageError) Error() string { return fmt.Sprintf("%v\nTry '%s -help'.", e.err, e.command) }

func (e *usageError) Unwrap() error { return e.err }

// exitCode returns 2 if the command line is wrong and 1 for any other failure, as Go's own commands do.
func exitCode(err error) int {
	if _, wrong := errors.AsType[*usageError](err); wrong {
		return 2
	}
	return 1
}

// A usage is the help text of one command, without its flags.
type usage string

var (
	//go:embed usage/local.txt
	serving usage
	//go:embed usage/send.txt
	sending usage
	//go:embed usage/receive.txt
	receiving usage
	//go:embed usage/listen.txt
	listening usage
	//go:embed usage/backup.txt
	backingUp usage
	//go:embed usage/setup-aws.txt
	settingUp usage
)

// parse parses the flags at the start of args. For -help it writes u and the flags to out and returns flag.ErrHelp; any
// other error is a *usageError.
func (u usage) parse(flags *flag.FlagSet, args []string, out io.Writer) error {
	flags.SetOutput(io.Discard) // main prints the error
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(out, string(u))
		flags.SetOutput(out)
		flags.PrintDefaults()
		return err
	case err != nil:
		return &usageError{flags.Name(), err}
	}
	return nil
}

// parseAll is parse for a command that takes no arguments after its flags.
func (u usage) parseAll(flags *flag.FlagSet, args []string, out io.Writer) error {
	if err := u.parse(flags, args, out); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{flags.Name(), fmt.Errorf("argument %q: want flags only", flags.Arg(0))}
	}
	return nil
}
