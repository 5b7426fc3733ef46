// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
	"stave/registry"
)

// loadCommand reads images from an archive.
func loadCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "load", Usage: "read images from a tar archive of docker save, podman save or stave save", ArgsUsage: "",
		Description: "The archive may be compressed. stave import reads archives of root file systems.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Usage: "read this `file` instead of standard input"},
			platformFlag("of several platforms load this one, `os/arch[/variant]`"),
			on("quiet", "q", "print the images' names only"),
		},
	}, 0, 0, layered(loadImages))
}

// loadImages loads the images and prints their names.
func loadImages(ctx context.Context, c *cli.Context) error {
	wanted, err := platform(c)
	if err != nil {
		return err
	}
	in, err := openArchive(ctx, c.String("input"))
	if err != nil {
		return err
	}
	defer in.Close()
	store, err := openImages(c)
	if err != nil {
		return err
	}
	o := images.PullOptions{Platform: wanted}
	show := progress(lines{})
	if !c.Bool("quiet") && isTerminal(os.Stdout) {
		show = newProgress(os.Stdout, map[images.State]string{
			images.Waiting: "Waiting", images.Exists: "Already exists", images.Moving: "Loading layer", images.Moved: "Loaded", images.Complete: "Unpacked",
		})
		o.Progress = show.layer
	}
	var loaded []images.Loaded
	err = store.Load(ctx, in, o, func(l images.Loaded) { loaded = append(loaded, l) })
	show.end()
	for _, l := range loaded {
		if l.Name == "" {
			fmt.Println("Loaded image ID:", l.ID)
		} else {
			fmt.Println("Loaded image:", registry.Familiar(l.Name))
		}
	}
	return err
}

// openArchive opens an archive by its name, or standard input.
func openArchive(ctx context.Context, name string) (io.ReadCloser, error) {
	switch {
	case name != "":
		return os.Open(name)
	case isTerminal(os.Stdin):
		return nil, errors.New("standard input is a terminal: name an archive with -i, or redirect the input")
	}
	return input(ctx), nil
}
