// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

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
	id, err := e.Images.Commit(ctx, images.Changed{Image: one.ImageID, Config: one.Config, Command: one.Command, Changes: one.Changes}, o)
	if err != nil {
		return fmt.Errorf("commit %s: %w", c.Args().First(), err)
	}
	fmt.Println(id)
	return nil
}
