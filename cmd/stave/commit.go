// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"stave/engine/containers"
	"stave/engine/images"
)

// changeFlag is the option --change.
func changeFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "change", Aliases: []string{"c"}, KeepSpace: true, Usage: "change the image's configuration by an `instruction` of a Dockerfile: " +
		"CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR"}
}

// commitCommand makes an image of a container.
func commitCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "commit", Usage: "make an image of what a container changed", ArgsUsage: "CONTAINER [REPOSITORY[:TAG]]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "author", Aliases: []string{"a"}, Usage: "who made it, such as `\"Name <name@example.com>\"`"},
			changeFlag(),
			&cli.BoolFlag{Name: "pause", Aliases: []string{"p"}, Value: true, Usage: "pause a container that runs while its files are read"},
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "what the image's history says of it"},
		},
	}, 1, 2, layered(commitContainer))
}

// commitContainer makes the image and prints its ID.
func commitContainer(ctx context.Context, c *cli.Context) error {
	o := images.CommitOptions{Author: c.String("author"), Message: c.String("message"), Changes: c.StringSlice("change")}
	if word := c.Args().Get(1); word != "" {
		name, err := images.Name(word)
		if err != nil {
			return err
		}
		o.Name = name
	}
	e, err := openEngine(c)
	if err != nil {
		return err
	}
	one, err := e.Containers.Find(c.Args().First())
	if err != nil {
		return err
	}
	changed := images.Changed{Image: one.ImageID, Config: one.Config, Command: one.Command, Changes: one.Changes}
	if c.Bool("pause") && one.Status == containers.Running {
		changed.Changes = func(ctx context.Context, w io.Writer) error {
			defer pause(one)()
			return one.Changes(ctx, w)
		}
	}
	id, err := e.Images.Commit(ctx, changed, o)
	if err != nil {
		return fmt.Errorf("commit %s: %w", c.Args().First(), err)
	}
	fmt.Println(id)
	return nil
}

// pause pauses a container that runs, and returns what lets it go on. One that can't be paused, since it has no cgroup, is read as it runs.
func pause(one *containers.Container) (resume func()) {
	goOn, err := one.Pause()
	if err != nil {
		notice(fmt.Sprintf("container %s is read while it runs: %v", one.Name, err))
		return func() {}
	}
	return func() {
		if err := goOn(); err != nil {
			notice(err.Error())
		}
	}
}
