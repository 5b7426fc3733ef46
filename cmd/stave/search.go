// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"stave/registry/remote"
)

// searchCommand finds repositories.
func searchCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "search", Usage: "find repositories of Docker Hub, or of another registry", ArgsUsage: "[SERVER/]TERM",
		Description: "Filters: is-official=true|false, is-automated=true|false, stars=NUMBER.",
		Flags: []cli.Flag{
			filterFlag("is-official=true|false, is-automated=true|false or stars=NUMBER"),
			&cli.StringFlag{Name: "format", Usage: formatUsage},
			&cli.IntFlag{Name: "limit", Value: 25, Usage: "show at most this `number`, 1 to 100"},
			on("no-trunc", "", "show descriptions in full"),
		},
	}, 1, 1, search)
}

// search prints what the registry finds, those with more stars first.
func search(ctx context.Context, c *cli.Context) error {
	wanted, err := searchFilter(c)
	if err != nil {
		return err
	}
	host, word := hub, c.Args().First()
	if first, rest, found := strings.Cut(word, "/"); found && (strings.ContainsAny(first, ".:") || first == "localhost") {
		host, word = first, rest
	}
	found, err := registryClient().Search(ctx, host, word, c.Int("limit"))
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b remote.Found) int { return b.Stars - a.Stars })
	var rows []row
	format := c.String("format")
	for _, f := range found {
		if wanted(f) {
			rows = append(rows, searchRow(f, c.Bool("no-trunc"), strings.Contains(format, "json")))
		}
	}
	return searchListing().print(os.Stdout, format, false, rows)
}

// searchFilter reads the filters of a search.
func searchFilter(c *cli.Context) (func(remote.Found) bool, error) {
	values, err := filters(c, "is-official", "is-automated", "stars")
	if err != nil {
		return nil, err
	}
	official, err := wanted(values["is-official"])
	if err != nil {
		return nil, exitError{codeOwn, fmt.Errorf("--filter is-official: %w", err)}
	}
	automated, err := wanted(values["is-automated"])
	if err != nil {
		return nil, exitError{codeOwn, fmt.Errorf("--filter is-automated: %w", err)}
	}
	least := 0
	for _, value := range values["stars"] {
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, exitError{codeOwn, fmt.Errorf("--filter stars: a number, not %q", value)}
		}
		least = max(least, n)
	}
	return func(f remote.Found) bool {
		return f.Stars >= least && (official == nil || *official == f.Official) && (automated == nil || *automated == f.Automated)
	}, nil
}

// searchListing is what was found as a table.
func searchListing() listing {
	return listing{
		headings: row{"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"},
		table:    "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
	}
}

// searchRow is one repository as a row, for people or for JSON.
func searchRow(f remote.Found, whole, json bool) row {
	const most = 45 // characters of a description in a table
	mark := map[bool]string{true: "[OK]"}
	if json {
		mark = map[bool]string{true: "true", false: "false"}
	}
	description := strings.NewReplacer("\n", " ", "\r", " ").Replace(f.Description)
	if characters := []rune(description); !whole && len(characters) > most {
		description = string(characters[:most-1]) + "…"
	}
	return row{
		"Name": f.Name, "Description": description, "StarCount": strconv.Itoa(f.Stars),
		"IsOfficial": mark[f.Official],
	}
}
