// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// importCommand makes an image of an archive.
func importCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "import", Usage: "make an image of a tar archive of a root file system", ArgsUsage: "file|URL|- [REPOSITORY[:TAG]]",
		Description: "The archive may be compressed with gzip or zstd; - is standard input. stave load reads archives of images.",
		Flags: []cli.Flag{
			changeFlag(),
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "what the image's history says of it"},
			platformFlag("what the files were made for, `os/arch[/variant]` (this machine's platform)"),
		},
	}, 1, 2, layered(importImage))
}

// importImage makes the image and prints its ID.
func importImage(ctx context.Context, c *cli.Context) error {
	o := images.ImportOptions{Message: c.String("message"), From: c.Args().First(), Changes: c.StringSlice("change")}
	var err error
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	if word := c.Args().Get(1); word != "" {
		if o.Name, err = images.Name(word); err != nil {
			return err
		}
	}
	source, err := openSource(ctx, o.From)
	if err != nil {
		return err
	}
	defer source.Close()
	store, err := openImages(c)
	if err != nil {
		return err
	}
	id, err := store.Import(ctx, source, o)
	if err != nil {
		return err
	}
	fmt.Println(id)
	return nil
}

// openSource opens standard input, a URL, or a file.
func openSource(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return input(ctx), nil
	}
	if u, err := url.Parse(name); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return os.Open(name)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "Downloading from", name)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("download %s: the server answered %s", name, response.Status)
	}
	return response.Body, nil
}
