// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file reads the command line, which is that of runc as far as it goes.

// request is what the command line asks for.
type request struct {
	id, bundle, pidFile string
	force               bool
	signal              unix.Signal
}

// parse reads a command's options and arguments.
func parse(verb string, args []string) (r request, err error) {
	flags, most := flag.NewFlagSet(verb, flag.ExitOnError), 1
	switch verb {
	case "create", "run":
		flags.StringVar(&r.bundle, "bundle", ".", "the `folder` with config.json")
		flags.StringVar(&r.pidFile, "pid-file", "", "a `file` for the number of the container's process")
	case "delete":
		flags.BoolVar(&r.force, "force", false, "kill it first")
	case "kill":
		most = 2
	case "start", "state":
	case "bundle":
		flags.Parse(args)
		r.bundle = flags.Arg(0)
		return r, nil
	default:
		return r, fmt.Errorf("unknown command %q: one of bundle, create, run, start, state, kill, delete", verb)
	}
	flags.Parse(args) // it ends the program after a mistake
	r.id, r.signal = flags.Arg(0), unix.SIGTERM
	if !regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.+-]*$`).MatchString(r.id) || flags.NArg() > most {
		return r, fmt.Errorf("%s wants the name of a container, of letters, digits, and in between . _ + and -: not %q", verb, flags.Args())
	}
	if text := strings.ToUpper(flags.Arg(1)); text != "" {
		number, err := strconv.Atoi(text)
		if r.signal = unix.Signal(number); err != nil {
			r.signal = unix.SignalNum("SIG" + strings.TrimPrefix(text, "SIG"))
		}
		if r.signal <= 0 || r.signal > 64 {
			return r, fmt.Errorf("kill: no signal %s", text)
		}
	}
	return r, nil
}
