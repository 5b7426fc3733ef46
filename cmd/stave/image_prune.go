// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// pruneImagesCommand removes images that nobody needs.
func pruneImagesCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "prune", Usage: "remove images that no container uses",
		Description: "Without -a only images that have lost their name. Filters: until=TIME, label=NAME[=VALUE], label!=NAME[=VALUE].",
		Flags: []cli.Flag{
			on("all", "a", "remove images with names, too"),
			&cli.StringSliceFlag{Name: "filter", Usage: "choose by `NAME=VALUE`: until=TIME, label=NAME[=VALUE] or label!=NAME[=VALUE]", KeepSpace: true},
			on("force", "f", "don't ask"),
		},
	}, 0, 0, layered(pruneImages))
}

// pruneImages asks, removes, and says how much room that made.
func pruneImages(ctx context.Context, c *cli.Context) error {
	values, err := filters(c, "until", "label", "label!")
	if err != nil {
		return err
	}
	o := images.PruneOptions{All: c.Bool("all"), Filter: images.Filter{Labels: values["label"], WithoutLabels: values["label!"]}}
	if o.Filter.Until, err = until(values["until"]); err != nil {
		return err
	}
	if !c.Bool("force") {
		what := "all dangling images"
		if o.All {
			what = "all images without at least one container associated to them"
		}
		fmt.Printf("WARNING! This will remove %s.\n", what)
		if err := confirm(ctx); err != nil {
			return err
		}
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	removed, err := store.Prune(ctx, o)
	if len(removed.Untagged)+len(removed.Deleted) > 0 {
		fmt.Println("Deleted Images:")
		printRemoved("untagged: ", "deleted: ", removed)
		fmt.Println()
	}
	fmt.Println("Total reclaimed space:", units.HumanSize(float64(removed.Bytes)))
	return err
}

// confirm asks whether to go on; anything but y means no.
func confirm(ctx context.Context) error {
	fmt.Print("Are you sure you want to continue? [y/N] ")
	answer, err := line(ctx)
	if err != nil && err != io.EOF {
		return err
	}
	if strings.EqualFold(strings.TrimSpace(answer), "y") {
		return nil
	}
	return errors.New("nothing was removed: the answer was not y")
}
