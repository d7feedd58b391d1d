package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"ringback/shared/embedded"
)

// backup copies the database of a data folder into a file, also while a process uses it.
func backup(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("local backup", flag.ContinueOnError)
	data := flags.String("data", "./ringback-data", "`folder` of the database and the keys")
	if err := backingUp.parse(flags, args, out); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return &usageError{flags.Name(), errors.New("want one file, which is made")}
	}
	if err := embedded.Backup(ctx, *data, flags.Arg(0)); err != nil {
		return err
	}
	fmt.Fprintf(out, "The database is in %s. Copy %s and %s beside it: without the first its secrets cannot be read.\n",
		flags.Arg(0), filepath.Join(*data, keyRingFile), filepath.Join(*data, operatorKeyFile))
	return nil
}
