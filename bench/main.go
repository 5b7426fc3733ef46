// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// main reads the command line. A signal ends the measuring between two runs, so that all is removed.
func main() {
	o := options{shape: shape{layers: 10, bytes: 100e6, source: "/usr"}}
	flag.IntVar(&o.rounds, "rounds", 100, "how often each program is run, of those about containers")
	flag.IntVar(&o.imageRounds, "image-rounds", 5, "how often each program is run, of those about images")
	flag.StringVar(&o.table, "table", allTables, "what to measure: `"+strings.Join(tables(), "|")+"`")
	flag.StringVar(&o.bin, "bin", "bin", "`folder` of stave's programs")
	flag.StringVar(&o.cache, "cache", "build/image", "`folder` where the image is kept that is pulled and unpacked")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// The tables that there are.
const (
	containerTable = "containers"
	imagesTable    = "images"
	allTables      = "all"
)

// tables lists what may be asked for.
func tables() []string { return []string{containerTable, imagesTable, allTables} }

// options are those of the command line.
type options struct {
	table               string
	bin, cache          string
	rounds, imageRounds int
	shape               shape // of the image
}

// check finds options that make no sense.
func (o *options) check() (err error) {
	switch {
	case os.Geteuid() != 0:
		return fmt.Errorf("this needs root")
	case o.rounds < 1 || o.imageRounds < 1:
		return fmt.Errorf("%d and %d rounds: at least 1", o.rounds, o.imageRounds)
	case !slices.Contains(tables(), o.table):
		return fmt.Errorf("there is no table %q: there are %s", o.table, strings.Join(tables(), ", "))
	}
	if o.bin, err = filepath.Abs(o.bin); err == nil {
		o.cache, err = filepath.Abs(o.cache)
	}
	return err
}

// run prints the tables that are asked for, and removes what was made for them.
func run(ctx context.Context, out io.Writer, o options) error {
	if err := o.check(); err != nil {
		return err
	}
	for _, one := range []struct {
		name  string
		print func(ctx context.Context, out io.Writer, dir string, o options) error
	}{{containerTable, runContainers}, {imagesTable, runImages}} {
		if o.table != one.name && o.table != allTables {
			continue
		}
		dir, err := os.MkdirTemp("", "stave-bench-")
		if err != nil {
			return err
		}
		if err := errors.Join(one.print(ctx, out, dir, o), os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	return nil
}

// runContainers makes the bundle, times all that runs it, and prints the table.
func runContainers(ctx context.Context, out io.Writer, dir string, o options) error {
	b, err := newBench(dir, o.bin)
	if err != nil {
		return err
	}
	defer b.close()
	b.choose(out)
	fmt.Fprintf(out, "%d rounds, each runs every program once:\n\n", o.rounds)
	if err := b.measure(ctx, o.rounds); err != nil {
		return err
	}
	fmt.Fprint(out, table(b.subjects), "\n", verdict(b.subjects, goals()), "\n", b.sizes(), b.waiting(), "\n")
	return nil
}

// runImages makes the image, times all that moves and unpacks it, and prints the table.
func runImages(ctx context.Context, out io.Writer, dir string, o options) (err error) {
	b, err := newImageBench(ctx, out, dir, o.cache, o.bin, o.shape)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.choose(out)
	fmt.Fprintf(out, "an image of %d layers with %d MB each, %d rounds; what is read is in the page cache, and the disk is idle before each run:\n\n",
		o.shape.layers, o.shape.bytes/1e6, o.imageRounds)
	if err := b.measure(ctx, o.imageRounds); err != nil {
		return err
	}
	var list []*subject
	for _, t := range b.tasks {
		list = append(list, &t.subject)
	}
	fmt.Fprint(out, imageTable(list), "\n", verdict(list, against(list, imageGoals())), limits(list))
	return nil
}
