// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// main reads the command line. A signal ends the measuring between two runs, so that all is removed.
func main() {
	rounds := flag.Int("rounds", 100, "how often each program is run")
	bin := flag.String("bin", "bin", "`folder` of stave's programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *bin, *rounds); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run makes the bundle, times everything, prints the table and removes what it made.
func run(ctx context.Context, out io.Writer, bin string, rounds int) (err error) {
	switch {
	case os.Geteuid() != 0:
		return fmt.Errorf("this needs root")
	case rounds < 1:
		return fmt.Errorf("%d rounds: at least 1", rounds)
	}
	dir, err := os.MkdirTemp("", "stave-bench-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	b, err := newBench(dir, bin)
	if err != nil {
		return err
	}
	defer b.close()
	b.choose(out)
	fmt.Fprintf(out, "%d rounds, each runs every program once:\n\n", rounds)
	if err := b.measure(ctx, rounds); err != nil {
		return err
	}
	fmt.Fprint(out, table(b.subjects), "\n", verdict(b.subjects, goals()), "\n", b.sizes(), b.waiting())
	return nil
}
