package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
)

// A usageError says that a command line cannot be understood.
type usageError struct {
	command string // whose help tells more
	err     error
}

func (e *usageError) Error() string { return fmt.Sprintf("%v\nTry '%s -help'.", e.err, e.command) }

func (e *usageError) Unwrap() error { return e.err }

// exitCode returns 2 if the command line was wrong and 1 if what it asked for failed, as Go's own commands do.
func exitCode(err error) int {
	if _, wrong := errors.AsType[*usageError](err); wrong {
		return 2
	}
	return 1
}

// A usage says how one command is called and what it does. Its flags follow.
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

// parse reads the flags that args begin with. Asked for help it writes that to
// out and returns flag.ErrHelp; any other error is a *usageError.
func (u usage) parse(flags *flag.FlagSet, args []string, out io.Writer) error {
	flags.SetOutput(io.Discard) // what is wrong is told by main, and once
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

// parseAll is parse for a command that takes flags alone.
func (u usage) parseAll(flags *flag.FlagSet, args []string, out io.Writer) error {
	if err := u.parse(flags, args, out); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{flags.Name(), fmt.Errorf("argument %q: want flags only", flags.Arg(0))}
	}
	return nil
}
