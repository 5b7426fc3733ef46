// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/distribution/reference"
	"github.com/urfave/cli/v2"

	"stave/engine"
	"stave/engine/images"
)

// pullCommand fetches images.
func pullCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "pull", Usage: "download an image from a registry", ArgsUsage: "NAME[:TAG|@DIGEST]",
		Description: registriesHelp,
		Flags: []cli.Flag{
			on("all-tags", "a", "download all tags of the repository"),
			platformFlag("of several platforms choose this one, `os/arch[/variant]`, instead of this machine's"),
			on("quiet", "q", "print the image's full name only"),
			&cli.BoolFlag{Name: "unpack", Value: true, Usage: "unpack the layers now; --unpack=false leaves it to the first run"},
		},
	}, 1, 1, func(ctx context.Context, c *cli.Context) error {
		if !c.Bool("unpack") {
			return pullImages(ctx, c)
		}
		return layered(pullImages)(ctx, c)
	})
}

// pullImages pulls one image, or all of a repository.
func pullImages(ctx context.Context, c *cli.Context) error {
	named, err := images.ParseName(c.Args().First())
	if err != nil {
		return err
	}
	written, err := reference.ParseNormalizedNamed(c.Args().First())
	if err != nil {
		return err
	}
	all, quiet := c.Bool("all-tags"), c.Bool("quiet")
	if all && !reference.IsNameOnly(written) {
		return exitError{codeOwn, errors.New("-a downloads all tags: leave out the tag or digest of the name")}
	}
	o := images.PullOptions{Packed: !c.Bool("unpack")}
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	if reference.IsNameOnly(written) && !all && !quiet {
		fmt.Println("Using default tag: latest")
	}
	names := []reference.Named{named}
	if all {
		if names, err = allTags(ctx, store, named); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := pullImage(ctx, store, name, o, quiet); err != nil {
			return err
		}
	}
	if all {
		fmt.Println(written.String())
		return nil
	}
	fmt.Println(named.String())
	return nil
}

// allTags lists the names of a repository of a registry.
func allTags(ctx context.Context, store *images.Images, named reference.Named) (names []reference.Named, err error) {
	tags, err := store.Tags(ctx, named)
	for _, tag := range tags {
		names = append(names, tag)
	}
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s has no tags", reference.FamiliarName(named))
	}
	return names, err
}

// pullImage pulls one image and says what becomes of it, as docker does.
func pullImage(ctx context.Context, store *images.Images, named reference.Named, o images.PullOptions, quiet bool) error {
	if quiet {
		_, err := store.Pull(ctx, named, o)
		return err
	}
	fmt.Printf("%s: Pulling from %s\n", tagOf(named), reference.Path(named))
	show := newProgress(os.Stdout, pullWords())
	o.Progress = show.layer
	pulled, err := store.Pull(ctx, named, o)
	show.end()
	if err != nil {
		return err
	}
	fmt.Println("Digest:", pulled.Digest)
	status := "Image is up to date"
	if pulled.Fresh {
		status = "Downloaded newer image"
	}
	fmt.Printf("Status: %s for %s\n", status, reference.FamiliarString(named))
	return nil
}

// tagOf is the tag or the digest of a name.
func tagOf(named reference.Named) string {
	if digested, ok := named.(reference.Digested); ok {
		return digested.Digest().String()
	}
	if tagged, ok := named.(reference.Tagged); ok {
		return tagged.Tag()
	}
	return ""
}

// pullFor pulls the image that a container is to be made from. It tells on standard error what happens: the output is the container's.
func pullFor(c *cli.Context, e *engine.Engine, word string) error {
	named, err := images.ParseName(word)
	if err != nil {
		return err
	}
	var o images.PullOptions
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	show := newProgress(os.Stderr, pullWords())
	o.Progress = show.layer
	_, err = e.Images.Pull(c.Context, named, o)
	show.end()
	return err
}
