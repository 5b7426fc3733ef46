// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
	"stave/registry"
)

// removeImagesCommand removes images; at the top it is called rmi.
func removeImagesCommand(name string) *cli.Command {
	return verb(&cli.Command{
		Name: name, Usage: "remove one or more images", ArgsUsage: "IMAGE [IMAGE...]",
		Description: "Takes a name away, and with its last name the image with the layers that no other image has.",
		Flags: []cli.Flag{
			on("force", "f", "remove an image that has several names or that a stopped container was made from; no error if it is not there"),
			platformFlag("remove only an image for this platform, `os/arch[/variant]`"),
		},
	}, 1, -1, layered(removeImages))
}

// removeImages removes what can be removed, and says in the end what could not.
func removeImages(ctx context.Context, c *cli.Context) error {
	wanted, err := platform(c)
	if err != nil {
		return err
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	force := c.Bool("force")
	var failed []error
	for _, word := range c.Args().Slice() {
		if wanted != nil {
			image, err := store.Find(ctx, word)
			if err == nil {
				err = image.For(wanted)
			}
			if err != nil {
				failed = append(failed, err)
				continue
			}
		}
		removed, err := store.Remove(ctx, word, force)
		printRemoved("Untagged: ", "Deleted: ", removed)
		if err != nil && !(force && errors.Is(err, images.ErrNotFound)) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// printRemoved prints names and IDs, a line each.
func printRemoved(untagged, deleted string, r images.Removed) {
	for _, name := range r.Untagged {
		fmt.Println(untagged + registry.Familiar(name))
	}
	for _, id := range r.Deleted {
		fmt.Println(deleted + id.String())
	}
}
