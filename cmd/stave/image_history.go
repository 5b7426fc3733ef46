// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// historyCommand shows how an image was made.
func historyCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "history", Usage: "show how an image was made, step by step", ArgsUsage: "IMAGE",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: formatUsage},
			&cli.BoolFlag{Name: "human", Aliases: []string{"H"}, Value: true, Usage: "print sizes and times for people; --human=false: in full"},
			on("no-trunc", "", "show all of each step"),
			platformFlag("fail unless the image is for this platform, `os/arch[/variant]`"),
			on("quiet", "q", "show IDs only"),
		},
	}, 1, 1, showHistory)
}

// showHistory prints the steps, the last one first.
func showHistory(ctx context.Context, c *cli.Context) error {
	wanted, err := platform(c)
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
	if err := image.For(wanted); err != nil {
		return err
	}
	var rows []row
	for _, step := range store.History(ctx, image) {
		rows = append(rows, historyRow(step, c.Bool("human"), c.Bool("no-trunc"), time.Now()))
	}
	return historyListing(c.Bool("human")).print(os.Stdout, c.String("format"), c.Bool("quiet"), rows)
}

// historyListing is the history as a table, for people or for programs.
func historyListing(human bool) listing {
	when := "{{.CreatedAt}}"
	if human {
		when = "{{.CreatedSince}}"
	}
	return listing{
		headings: row{
			"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
		},
		table: "{{.ID}}\t" + when + "\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
		quiet: "{{.ID}}",
	}
}

// historyRow is one step as a row.
func historyRow(step images.Step, human, whole bool, now time.Time) row {
	const most = 45 // characters of an instruction in a table
	r := row{"ID": "<missing>", "CreatedSince": "N/A", "CreatedBy": strings.ReplaceAll(step.CreatedBy, "\t", " "), "Comment": step.Comment}
	if step.ID != "" {
		r["ID"] = shownID(step.ID, whole)
	}
	r["CreatedAt"] = time.Unix(max(step.Created.Unix(), 0), 0).Format(time.RFC3339)
	if step.Created.Unix() > 0 {
		r["CreatedSince"] = since(step.Created, now)
	}
	r["Size"] = size(step.Size)
	if !human {
		r["CreatedSince"], r["Size"] = r["CreatedAt"], plainSize(step.Size)
	}
	if characters := []rune(r["CreatedBy"]); !whole && len(characters) > most {
		r["CreatedBy"] = string(characters[:most-1]) + "…"
	}
	return r
}
