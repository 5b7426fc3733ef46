// SPDX-License-Identifier: Apache-2.0

// Command 16-image makes an OCI image of two folders, reads it again, unpacks it, and starts its command in what is unpacked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
	"stave/registry"
	"stave/registry/layout"
	"stave/unionfs"
)

// look is the command of the image.
const look = `echo "This is the image's own command. I have:"; ls /srv; cat /etc/motd || echo "and no /etc/motd: the second layer has a whiteout for it."`

// main makes and shows the image, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	dir := flag.String("dir", "", "the `folder` for all that is made, which is kept; without it, a temporary one")
	flag.Parse()
	code, err := start(context.Background(), flag.Args(), *dir, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "16-image:", err)
	}
	os.Exit(code)
}

// start makes the image, unless it is there, and does the rest.
func start(ctx context.Context, args []string, dir string, explained bool) (code int, err error) {
	s, remove, err := newStack(dir)
	if err != nil {
		return 1, err
	}
	defer remove()
	l, err := layout.Open(s.path("image"))
	if err != nil {
		return 1, err
	}
	if _, err := l.Resolve(ctx, name); errors.Is(err, registry.ErrNotFound) {
		err = makeImage(ctx, l, s)
		if err != nil {
			return 1, err
		}
	}
	image, err := show(ctx, os.Stdout, l, name)
	if err != nil {
		return 1, err
	}
	root, clean, err := unpack(ctx, l, image, s)
	if err != nil {
		return 1, err
	}
	if dir == "" {
		defer func() { err = errors.Join(err, clean()) }()
	}
	if len(args) == 0 {
		args = image.Config.Config.Cmd
	}
	p := plan(args, root)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

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
