// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"

	"golang.org/x/sys/unix"

	"stave/container"
)

// imageFlags adds the options that checkpoint and restore share.
func imageFlags(flags *flag.FlagSet, m *container.Images) (empty *words) {
	empty = &words{}
	flags.StringVar(&m.Path, "image-path", "checkpoint", "`folder` of the images")
	flags.StringVar(&m.Work, "work-path", "", "`folder` of CRIU's log; that of the images where none is given")
	flags.BoolVar(&m.TCPEstablished, "tcp-established", false, "take open TCP connections along")
	flags.BoolVar(&m.ExternalSockets, "ext-unix-sk", false, "take unix sockets along whose other end is outside")
	flags.BoolVar(&m.ShellJob, "shell-job", false, "take a session along that began outside")
	flags.BoolVar(&m.FileLocks, "file-locks", false, "take locks on files along")
	flags.BoolVar(&m.LazyPages, "lazy-pages", false, "leave memory where it is until it is needed")
	flags.BoolVar(&m.AutoDedup, "auto-dedup", false, "free what of older images is in newer ones, too")
	flags.StringVar(&m.Cgroups, "manage-cgroups-mode", "", "what of cgroups is kept: soft (which is the default), full, strict, or ignore")
	flags.Var(empty, "empty-ns", "a `namespace` to make without what is in it: network, which is always made so")
	return empty
}

// checkEmpty refuses other namespaces than that of the network.
func checkEmpty(list words) error {
	for _, name := range list {
		if name != "network" {
			return fmt.Errorf("--empty-ns %q: only network can be made empty", name)
		}
	}
	return nil
}

// checkpoint writes a container into images.
func checkpoint(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("checkpoint", flag.ContinueOnError)
	o := container.CheckpointOptions{Notice: g.warn}
	empty := imageFlags(flags, &o.Images)
	flags.StringVar(&o.Parent, "parent-path", "", "`folder` of earlier images, relative to --image-path: only what has changed since is written")
	flags.BoolVar(&o.LeaveRunning, "leave-running", false, "let the container go on")
	flags.BoolVar(&o.PreDump, "pre-dump", false, "write the memory alone, and let the container go on")
	flags.StringVar(&o.PageServer, "page-server", "", "`ADDRESS:PORT` of a page server that takes the memory")
	status := flags.Int("status-fd", -1, "`descriptor` that gets a zero byte when lazy pages can be asked for")
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	if err := checkEmpty(*empty); err != nil {
		return 0, err
	}
	if *status >= 0 {
		mode, err := unix.FcntlInt(uintptr(*status), unix.F_GETFL, 0)
		if err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY || *status == 0 {
			return 0, fmt.Errorf("--status-fd %d: no descriptor that can be written to", *status)
		}
		o.StatusFD = *status
	}
	i, err := container.Find(g.root, flags.Arg(0))
	if i != nil {
		defer i.Close()
	}
	if err != nil {
		return 0, err
	}
	return 0, i.Checkpoint(o)
}
