// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file reads the command line, which is that of runc as far as it goes, and does what it says.

// do does one command on one container, while no other command changes anything.
func (k *keeper) do(verb string, args []string) (int, error) {
	request, err := parse(verb, args)
	switch {
	case err != nil:
		return 1, err
	case verb == "bundle":
		return 0, request.write()
	case k.explained:
		return 0, k.explain(verb, request)
	}
	if err := k.lock(); err != nil {
		return 1, err
	}
	defer k.unlock()
	if verb == "create" || verb == "run" {
		return k.create(request, verb == "create")
	}
	c, err := k.find(request.id)
	if request.force && errors.Is(err, os.ErrNotExist) {
		return 0, nil // engines make sure in this way
	} else if err != nil {
		return 1, err
	}
	switch verb {
	case "start":
		err = c.start()
	case "state":
		err = show(c.state())
	case "kill":
		err = c.kill(request.signal)
	case "delete":
		err = c.delete(request.force)
	}
	return 0, err
}

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
