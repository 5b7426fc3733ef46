// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// saveCommand writes images to an archive.
func saveCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "save", Usage: "write one or more images to a tar archive", ArgsUsage: "IMAGE [IMAGE...]",
		Description: "docker load, podman load and stave load read it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "docker-archive", Usage: "`docker-archive|oci-archive`: layers uncompressed, for all versions of docker, or images as they are"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to this `file` instead of standard output"},
			platformFlag("of several platforms save this one, `os/arch[/variant]`"),
		},
	}, 1, -1, saveImages)
}

// saveImages writes the archive.
func saveImages(ctx context.Context, c *cli.Context) error {
	var o images.SaveOptions
	switch format := c.String("format"); format {
	case "docker-archive":
	case "oci-archive":
		o.OCI = true
	default:
		return exitError{codeOwn, fmt.Errorf("--format %q: docker-archive or oci-archive", format)}
	}
	var err error
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	return writeOutput(c.String("output"), func(w io.Writer) error { return store.Save(ctx, w, c.Args().Slice(), o) })
}
