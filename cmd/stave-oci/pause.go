// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"stave/container"
)

// pause stops all processes of a container.
func pause(g globals, args []string) (int, error) {
	return onContainer(g, flag.NewFlagSet("pause", flag.ContinueOnError), args, (*container.Instance).Pause)
}

// resume lets them go on.
func resume(g globals, args []string) (int, error) {
	return onContainer(g, flag.NewFlagSet("resume", flag.ContinueOnError), args, (*container.Instance).Resume)
}

// ps lists the processes of a container: their numbers, or the lines that ps(1) has of them.
func ps(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("ps", flag.ContinueOnError)
	format := flags.String("format", "table", "table or json")
	flags.StringVar(format, "f", "table", "table or json")
	if err := parseFlags(flags, args); err != nil {
		return 0, err
	}
	if flags.NArg() == 0 {
		return 0, errors.New("ps takes the id of a container, and options of ps(1)")
	}
	if *format != "table" && *format != "json" {
		return 0, fmt.Errorf("--format %q: one of table, json", *format)
	}
	i, err := container.Find(g.root, flags.Arg(0))
	if i != nil {
		defer i.Close()
	}
	if err != nil {
		return 0, err
	}
	pids, err := i.Processes()
	if err != nil {
		return 0, err
	}
	if *format == "json" {
		return 0, json.NewEncoder(os.Stdout).Encode(pids)
	}
	return 0, table(os.Stdout, pids, flags.Args()[1:])
}

// table prints the lines of processes that ps(1) prints with some options, with its heading.
func table(w io.Writer, pids []int, options []string) error {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	out, err := exec.Command("ps", options...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("ps %s: %w: %s", strings.Join(options, " "), err, failed.Stderr)
	}
	if err != nil {
		return fmt.Errorf("%w: the table is made by ps(1), of the package procps; --format json does without it", err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return fmt.Errorf("ps %s: its table has no column PID, by which the container's processes are found: ask for it", strings.Join(options, " "))
	}
	fmt.Fprintln(w, lines[0])
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return fmt.Errorf("ps %s: %q in the column PID is not a number: let it come before columns that have spaces", strings.Join(options, " "), fields[column])
		}
		if slices.Contains(pids, pid) {
			fmt.Fprintln(w, line)
		}
	}
	return nil
}
