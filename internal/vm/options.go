// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// options are what the command line asks for.
type options struct {
	kernel  string        // folder that the kernel package was unpacked into
	systemd string        // disk image of a system with systemd; empty: the flavour without
	user    string        // with systemd: whose user manager runs the command; empty: root's service
	show    []string      // with systemd: folders of this machine to be seen
	share   string        // folder of this machine that may be written to; empty: none
	memory  string        // as QEMU takes it
	cpus    int           // processors of the guest
	boot    time.Duration // for the boot, until the command starts
	timeout time.Duration // for the command
	verbose bool          // show the console and the times
	command []string      // what to run
}

// parse reads the command line. Folders and files become absolute, since the guest's working directory may be another.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.kernel, "kernel", "", "`folder` of the unpacked kernel package")
	flags.StringVar(&o.systemd, "systemd", "", "boot this disk `image` with systemd, and run the command as a service")
	flags.StringVar(&o.user, "user", "", "with -systemd: run the command in the user manager of this `user`")
	flags.StringVar(&o.share, "share", "", "`folder` that the command may write to")
	flags.StringVar(&o.memory, "memory", "2G", "the guest's `size` of memory")
	flags.IntVar(&o.cpus, "cpus", 2, "the guest's `number` of processors")
	flags.DurationVar(&o.boot, "boot", 3*time.Minute, "how `long` the boot may take")
	flags.DurationVar(&o.timeout, "timeout", 20*time.Minute, "how `long` the command may take")
	flags.BoolVar(&o.verbose, "v", false, "show the console, and how long it took")
	flags.Func("show", "with -systemd: `folder` of this machine that the command sees; may be repeated", func(name string) error {
		o.show = append(o.show, name)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.command = flags.Args()
	if err := o.check(); err != nil {
		return o, err
	}
	return o, o.makeAbsolute()
}

// check finds what is missing or does not fit together.
func (o *options) check() error {
	switch {
	case o.kernel == "":
		return errors.New("-kernel is missing: make build/vm/kernel/vmlinux gets one")
	case len(o.command) == 0:
		return errors.New("there is no command to run")
	case o.systemd == "" && (o.user != "" || len(o.show) > 0):
		return errors.New("-user and -show go with -systemd")
	case o.cpus < 1:
		return fmt.Errorf("-cpus %d: at least one processor is needed", o.cpus)
	case o.boot <= 0 || o.timeout <= 0:
		return fmt.Errorf("-boot %v -timeout %v: both must be more than nothing", o.boot, o.timeout)
	}
	for _, name := range append([]string{o.share, o.systemd}, o.show...) {
		if strings.ContainsAny(name, ",\n") {
			return fmt.Errorf("%q: QEMU takes no path with a comma or a line feed", name)
		}
	}
	return nil
}

// makeAbsolute makes every path absolute that is not empty.
func (o *options) makeAbsolute() error {
	paths := []*string{&o.kernel, &o.systemd, &o.share}
	for i := range o.show {
		paths = append(paths, &o.show[i])
	}
	for _, path := range paths {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	return nil
}
