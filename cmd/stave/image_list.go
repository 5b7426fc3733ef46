// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// none stands in tables for what there is not.
const none = "<none>"

// imagesCommand lists images; as a part of the word image it is called ls.
func imagesCommand(name string) *cli.Command {
	return verb(&cli.Command{
		Name: name, Usage: "list images", ArgsUsage: "[REPOSITORY[:TAG]]",
		Description: "Filters: dangling=true|false, label=NAME[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE, until=TIME.",
		Flags: []cli.Flag{
			on("all", "a", "show all images (there are none that are hidden: stave keeps no images of a build's steps)"),
			on("digests", "", "show the digests that registries know images by"),
			filterFlag("dangling=true, label=NAME[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE or until=TIME"),
			&cli.StringFlag{Name: "format", Usage: formatUsage},
			on("no-trunc", "", "show IDs in full"),
			on("quiet", "q", "show IDs only"),
		},
	}, 0, 1, listImages)
}

// listImages prints the images that the options choose.
func listImages(ctx context.Context, c *cli.Context) error {
	filter, err := imageFilter(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		filter.References = append(filter.References, c.Args().First())
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	list, broken := store.List(ctx, filter)
	if list == nil && broken != nil {
		return broken
	}
	format, digests := c.String("format"), c.Bool("digests")
	var rows []row
	for _, image := range list {
		rows = append(rows, imageRows(image, digests || strings.Contains(format, "{{.Digest}}"), digests, c.Bool("no-trunc"), time.Now())...)
	}
	return errors.Join(imageListing(digests).print(os.Stdout, format, c.Bool("quiet"), rows), broken)
}

// imageListing is the list of images as a table, with a column for digests if that is wanted.
func imageListing(digests bool) listing {
	column := ""
	if digests {
		column = "{{.Digest}}\t"
	}
	return listing{
		headings: row{
			"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
			"Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
		},
		table: "{{.Repository}}\t{{.Tag}}\t" + column + "{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}",
		quiet: "{{.ID}}",
	}
}

// imageRows makes the rows of one image: one for each tag; with digests, for each tag and each digest of the same repository; and one for
// a repository that it has a digest in, but no tag.
func imageRows(image *images.Image, digests, alone, whole bool, now time.Time) []row {
	tags, known := parts(image.Names), parts(image.Digests)
	var rows []row
	add := func(repository, tag, id string) {
		r := imageRow(image, whole, now)
		r["Repository"], r["Tag"], r["Digest"] = repository, orNone(tag), id
		rows = append(rows, r)
	}
	for _, t := range tags {
		of := slices.DeleteFunc(slices.Clone(known), func(d part) bool { return d.repository != t.repository })
		if !digests || len(of) == 0 {
			add(t.repository, t.tag, none)
			continue
		}
		for _, d := range of {
			add(t.repository, t.tag, d.digest)
		}
	}
	for i, d := range known {
		switch {
		case slices.ContainsFunc(tags, func(t part) bool { return t.repository == d.repository }):
		case alone:
			add(d.repository, "", d.digest)
		case i == 0 || known[i-1].repository != d.repository:
			add(d.repository, "", "") // as docker has it
		}
	}
	if len(rows) == 0 {
		add(none, "", none)
	}
	return rows
}

// imageRow has what all rows of an image have.
func imageRow(image *images.Image, whole bool, now time.Time) row {
	r := row{
		"ID": shownID(image.ID, whole), "CreatedSince": since(image.Created(), now), "CreatedAt": stamp(image.Created()),
		"Size": size(image.Size), "VirtualSize": units.HumanSize(float64(image.Size)), "Containers": "N/A", "SharedSize": "N/A", "UniqueSize": "N/A",
	}
	return r
}

// part is a name in its parts.
type part struct{ repository, tag, digest string }

// parts parts names.
func parts(names []string) []part {
	list := make([]part, len(names))
	for i, name := range names {
		list[i].repository, list[i].tag, list[i].digest = images.Repository(name)
	}
	return list
}

// orNone is a text, or <none> if it is empty.
func orNone(text string) string {
	if text == "" {
		return none
	}
	return text
}

// shownID is an ID as a table has it: its beginning, or all of it.
func shownID(id digest.Digest, whole bool) string {
	if whole {
		return id.String()
	}
	return images.Short(id)
}

// since says how long ago something was; nothing is said of the beginning of time.
func since(t, now time.Time) string {
	if t.Unix() <= 0 {
		return ""
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

// stamp is a time as docker writes it in tables of images.
func stamp(t time.Time) string {
	return time.Unix(max(t.Unix(), 0), 0).Local().String()
}

// size is a number of bytes for people, in three digits.
func size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }

// plainSize is a number of bytes for programs.
func plainSize(bytes int64) string { return strconv.FormatInt(bytes, 10) }
