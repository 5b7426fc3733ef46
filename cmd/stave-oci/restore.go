// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"

	"stave/container"
)

// restore makes a container of a bundle and of the images of a checkpoint.
func restore(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("restore", flag.ContinueOnError)
	var o container.RestoreOptions
	var bundle string
	empty := imageFlags(flags, &o.Images)
	flags.StringVar(&bundle, "bundle", ".", "`folder` of the bundle")
	flags.StringVar(&bundle, "b", ".", "`folder` of the bundle")
	flags.StringVar(&o.ConsoleSocket, "console-socket", "", "unix `socket` that gets the other end of the container's terminal")
	flags.StringVar(&o.PidFile, "pid-file", "", "`file` that gets the number of the container's process")
	flags.BoolVar(&o.Detach, "detach", false, "leave the container to itself once it runs")
	flags.BoolVar(&o.Detach, "d", false, "leave the container to itself once it runs")
	flags.BoolVar(&o.NoSubreaper, "no-subreaper", false, "don't collect the orphans of a container without a PID namespace")
	flags.BoolVar(&o.NoPivot, "no-pivot", false, "refused: CRIU uses pivot_root")
	flags.StringVar(&o.Profile, "lsm-profile", "", "another label than the processes had, `TYPE:NAME`")
	flags.StringVar(&o.MountContext, "lsm-mount-context", "", "another SELinux `context` than the mounts had")
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	if err := checkEmpty(*empty); err != nil {
		return 0, err
	}
	o.ID, o.Root, o.Systemd, o.Notice = flags.Arg(0), g.root, g.systemd, g.warn
	if err := container.CheckID(o.ID); err != nil {
		return 0, err
	}
	b, err := container.Load(bundle)
	if err != nil {
		return 0, err
	}
	return container.Restore(b, o)
}
