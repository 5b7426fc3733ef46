// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// tagCommand gives images names.
func tagCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "tag", Usage: "give an image one more name", ArgsUsage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	}, 2, 2, func(ctx context.Context, c *cli.Context) error {
		name, err := images.Name(c.Args().Get(1))
		if err != nil {
			return err
		}
		store, err := openImages(c)
		if err != nil {
			return err
		}
		image, err := store.Find(ctx, c.Args().First())
		if err != nil {
			return err
		}
		return store.Tag(ctx, image, name)
	})
}
