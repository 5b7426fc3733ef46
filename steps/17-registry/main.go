// SPDX-License-Identifier: Apache-2.0

// Command 17-registry starts a registry, pushes an image there, pulls it into another folder, and starts its command. It prints
// the HTTP requests as they go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/remote"
	"stave/unionfs"
)

// look is the command of the image.
const look = `echo "I have come over HTTP, and I have:"; ls /srv`

// main does it all. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls that start the pulled image, instead of making them")
	dir := flag.String("dir", "", "the `folder` for all that is made, which is kept; without it, a temporary one")
	only := flag.String("serve", "", "only serve at an `address` such as 127.0.0.1:5000, until interrupted")
	flag.Parse()
	code, err := start(context.Background(), flag.Args(), *dir, *only, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "17-registry:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// start makes an image, unless it is there, and moves it around.
func start(ctx context.Context, args []string, dir, only string, explained bool) (code int, err error) {
	s, remove, err := newStack(dir)
	if err != nil {
		return 1, err
	}
	defer remove()
	mine, err := layout.Open(s.path("mine"))
	if err != nil {
		return 1, err
	}
	if _, err := mine.Resolve(ctx, name); errors.Is(err, registry.ErrNotFound) {
		if err := makeImage(ctx, mine, s); err != nil {
			return 1, err
		}
	}
	if only != "" {
		return 0, wait(ctx, s, mine, only)
	}
	pulled, image, err := travel(ctx, s, mine)
	if err != nil {
		return 1, err
	}
	root, clean, err := unpack(ctx, pulled, image, s)
	if err != nil {
		return 1, err
	}
	if dir == "" {
		defer func() { err = errors.Join(err, clean()) }()
	}
	return do(args, image, root, explained)
}

// do explains or runs the command that is given, or the image's own.
func do(args []string, image registry.Image, root unionfs.Root, explained bool) (int, error) {
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

// travel pushes the image to a registry, pushes it again, and pulls it into another folder.
func travel(ctx context.Context, s stack, mine registry.Store) (pulled registry.Store, image registry.Image, err error) {
	address, stop, err := serve(s.path("registry"), "127.0.0.1:0", os.Stdout)
	if err != nil {
		return nil, image, err
	}
	defer func() { err = errors.Join(err, stop(ctx)) }()
	repository, err := open(address)
	if err != nil {
		return nil, image, err
	}
	if pulled, err = layout.Open(s.path("pulled")); err != nil {
		return nil, image, err
	}
	var top ocispec.Descriptor
	for _, each := range []struct {
		title    string
		to, from registry.Store
		called   [2]string
	}{
		{"Push: what the registry lacks, the manifest last.", repository, mine, [2]string{"latest", name}},
		{"Push it again: the registry has it all.", repository, mine, [2]string{"again", name}},
		{"Pull: the manifest first, then what it names.", pulled, repository, [2]string{name, "latest"}},
	} {
		fmt.Println(each.title)
		// One after the other is easier to read; as a rule, blobs travel side by side.
		d, err := registry.Copy(ctx, each.to, each.called[0], each.from, each.called[1], registry.CopyOptions{Concurrency: 1})
		if err != nil {
			return nil, image, err
		}
		top = d
	}
	image, err = registry.FetchImage(ctx, pulled, top)
	return pulled, image, err
}

// open is the repository "lesson" of a registry. Plain HTTP is for this machine alone.
func open(address string) (*remote.Repository, error) {
	named, err := registry.ParseReference(address + "/lesson")
	if err != nil {
		return nil, err
	}
	client := &remote.Client{}
	return client.Repository(named)
}

// wait serves the image to whoever asks.
func wait(ctx context.Context, s stack, mine registry.Store, address string) error {
	ctx, cancel := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
	defer cancel()
	at, stop, err := serve(s.path("registry"), address, os.Stdout)
	if err != nil {
		return err
	}
	repository, err := open(at)
	if err == nil {
		_, err = registry.Copy(ctx, repository, "latest", mine, name, registry.CopyOptions{Concurrency: 1})
	}
	if err == nil {
		fmt.Printf("The image is at %s/lesson:latest now.\n", at)
		<-ctx.Done()
	}
	return errors.Join(err, stop(context.WithoutCancel(ctx)))
}
