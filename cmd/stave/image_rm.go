// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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
	force, fatal := c.Bool("force"), false
	var failed []error
	for _, word := range c.Args().Slice() {
		if err := removeImage(ctx, store, word, wanted, force); err != nil {
			failed = append(failed, err)
			fatal = fatal || !errors.Is(err, images.ErrNotFound)
		}
	}
	err = errors.Join(failed...)
	if err != nil && force && !fatal { // told, and no failure, as docker has it
		fmt.Fprintln(os.Stderr, "stave:", err)
		return nil
	}
	return err
}

// removeImage removes one image, if it is for the platform that is wanted.
func removeImage(ctx context.Context, store *images.Images, word string, wanted *ocispec.Platform, force bool) error {
	if wanted != nil {
		image, err := store.Find(ctx, word)
		if err == nil {
			err = image.For(wanted)
		}
		if err != nil {
			return err
		}
	}
	removed, err := store.Remove(ctx, word, force)
	printRemoved("Untagged: ", "Deleted: ", removed)
	return err
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
