// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
	"stave/registry"
	"stave/unionfs"
)

// This file is the same in the steps that start a command in an image: it unpacks the layers and plans the calls.

// unpack makes a folder of each layer, named by its chain ID, and puts them on top of each other: steps 14 and 15. Clean takes
// away what is written on top of them.
func unpack(ctx context.Context, l registry.Store, image registry.Image, s stack) (root unionfs.Root, clean func() error, err error) {
	unpacked, err := unionfs.OpenLayers(s.path("unpacked"), unionfs.LayersOptions{Layer: options()})
	if err != nil {
		return root, nil, err
	}
	below := unionfs.Stack{Dir: s.path("container")}
	chains := unionfs.ChainIDs(image.Config.RootFS.DiffIDs)
	for i, d := range image.Manifest.Layers {
		open := func() (io.ReadCloser, error) { return l.Fetch(ctx, d) }
		one, err := unpacked.Unpack(ctx, chains[:i+1], image.Config.RootFS.DiffIDs[i], open)
		if err != nil {
			return root, nil, err
		}
		below.Layers = append(below.Layers, one)
	}
	if err := os.MkdirAll(below.Dir, 0o755); err != nil {
		return root, nil, err
	}
	driver := unionfs.Overlay{UserXattr: options().UserXattr}
	root, err = driver.Prepare(ctx, below)
	return root, func() error { return driver.Remove(ctx, below) }, err
}

// plan lists the calls: those of step 14, with the mount that the driver plans.
func plan(args []string, mounted unionfs.Root) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	root := files(mounted.Path)
	root.First = mounted.Calls
	host, inside := config.Plan()
	inside = append(inside, enter(root)...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
