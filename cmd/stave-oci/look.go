// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"stave/container"
)

// state prints what a container is, as JSON.
func state(g globals, args []string) (int, error) {
	return onContainer(g, flag.NewFlagSet("state", flag.ContinueOnError), args, func(i *container.Instance) error {
		s, err := i.State()
		if err != nil {
			return err
		}
		return printJSON(s)
	})
}

// list prints all containers below the root.
func list(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	format := flags.String("format", "table", "table or json")
	flags.StringVar(format, "f", "table", "table or json")
	quiet := flags.Bool("quiet", false, "print the ids alone")
	flags.BoolVar(quiet, "q", false, "print the ids alone")
	if err := parse(flags, args, 0); err != nil {
		return 0, err
	}
	states, err := container.List(g.root)
	if err != nil {
		return 0, err
	}
	switch {
	case *quiet:
		for _, s := range states {
			fmt.Println(s.ID)
		}
		return 0, nil
	case *format == "json":
		return 0, json.NewEncoder(os.Stdout).Encode(states)
	case *format != "table":
		return 0, fmt.Errorf("--format %q: one of table, json", *format)
	}
	w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
	for _, s := range states {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return 0, w.Flush()
}

// printJSON prints a value over several lines.
func printJSON(value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", data)
	return err
}

// spec writes config.json. One that is there already is left alone.
func spec(_ globals, args []string) (int, error) {
	flags := flag.NewFlagSet("spec", flag.ContinueOnError)
	bundle := "."
	flags.StringVar(&bundle, "bundle", bundle, "`folder` of the bundle")
	flags.StringVar(&bundle, "b", bundle, "`folder` of the bundle")
	rootless := flags.Bool("rootless", false, "for an ordinary user")
	if err := parse(flags, args, 0); err != nil {
		return 0, err
	}
	s := container.Example()
	if *rootless {
		container.Rootless(s, os.Getuid(), os.Getgid())
	}
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return 0, err
	}
	name := filepath.Join(bundle, "config.json")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return 0, fmt.Errorf("%s exists already; move it away first", name)
	}
	if err != nil {
		return 0, err
	}
	_, err = f.Write(append(data, '\n'))
	return 0, errors.Join(err, f.Close())
}

// features prints what this runtime can do.
func features(_ globals, args []string) (int, error) {
	if err := parse(flag.NewFlagSet("features", flag.ContinueOnError), args, 0); err != nil {
		return 0, err
	}
	f, err := container.Features()
	if err != nil {
		return 0, err
	}
	data, err := json.MarshalIndent(f, "", "    ")
	if err != nil {
		return 0, err
	}
	fmt.Printf("%s\n", data)
	return 0, nil
}
