// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/distribution/reference"
	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// pushCommand sends images to a registry.
func pushCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "push", Usage: "upload an image to a registry", ArgsUsage: "NAME[:TAG]",
		Description: registriesHelp,
		Flags: []cli.Flag{
			on("all-tags", "a", "push all tags of the repository"),
			platformFlag("of an image for several platforms push this one alone, `os/arch[/variant]`"),
			on("quiet", "q", "print the image's full name only"),
		},
	}, 1, 1, pushImages)
}

// pushImages pushes one image, or all of a repository.
func pushImages(ctx context.Context, c *cli.Context) error {
	name, err := images.Name(c.Args().First())
	if err != nil {
		return err
	}
	written, err := reference.ParseNormalizedNamed(c.Args().First())
	if err != nil {
		return err
	}
	all, quiet := c.Bool("all-tags"), c.Bool("quiet")
	if all && !reference.IsNameOnly(written) {
		return exitError{codeOwn, errors.New("-a pushes all tags: leave out the tag of the name")}
	}
	var o images.PushOptions
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	names := []reference.NamedTagged{name}
	if all {
		if names, err = store.Pushable(ctx, name); err != nil {
			return err
		}
	}
	if !quiet {
		if reference.IsNameOnly(written) && !all {
			fmt.Println("Using default tag: latest")
		}
		fmt.Printf("The push refers to repository [%s]\n", name.Name())
	}
	for _, name := range names {
		if err := pushImage(ctx, store, name, o, quiet); err != nil {
			return err
		}
	}
	if quiet {
		fmt.Println(written.String())
	}
	return nil
}

// pushImage pushes one image and says what becomes of it, as docker does.
func pushImage(ctx context.Context, store *images.Images, name reference.NamedTagged, o images.PushOptions, quiet bool) error {
	if quiet {
		_, err := store.Push(ctx, name, o)
		return err
	}
	show := newProgress(os.Stdout, pushWords())
	o.Progress = show.layer
	d, err := store.Push(ctx, name, o)
	show.end()
	if err != nil {
		return err
	}
	fmt.Printf("%s: digest: %s size: %d\n", name.Tag(), d.Digest, d.Size)
	return nil
}
