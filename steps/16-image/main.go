// SPDX-License-Identifier: Apache-2.0

// Command 16-image makes an OCI image of two folders, reads it again, unpacks it, and starts its command in what is unpacked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"stave/registry"
	"stave/registry/layout"
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
