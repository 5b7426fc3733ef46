// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// filterFlag is the option --filter, which may be given several times.
func filterFlag(usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "choose by `NAME=VALUE`: " + usage, KeepSpace: true}
}

// filters reads the option --filter: the values of each name, of which only those in known are allowed.
func filters(c *cli.Context, known ...string) (map[string][]string, error) {
	values := map[string][]string{}
	for _, text := range c.StringSlice("filter") {
		name, value, found := strings.Cut(text, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !found {
			return nil, exitError{codeOwn, fmt.Errorf("--filter %q: want NAME=VALUE", text)}
		}
		if !slices.Contains(known, name) {
			return nil, exitError{codeOwn, fmt.Errorf("--filter %q: there is no filter %s here; there are %s", text, name, strings.Join(known, ", "))}
		}
		values[name] = append(values[name], value)
	}
	return values, nil
}

// imageFilter reads the filters of images.
func imageFilter(c *cli.Context) (images.Filter, error) {
	values, err := filters(c, "dangling", "label", "reference", "before", "since", "until")
	if err != nil {
		return images.Filter{}, err
	}
	f := images.Filter{Labels: values["label"], References: values["reference"], Before: values["before"], Since: values["since"]}
	if f.Dangling, err = wanted(values["dangling"]); err != nil {
		return f, exitError{codeOwn, fmt.Errorf("--filter dangling: %w", err)}
	}
	f.Until, err = until(values["until"])
	return f, err
}

// wanted reads a filter that is true or false; nil is neither.
func wanted(values []string) (*bool, error) {
	if len(values) == 0 {
		return nil, nil
	}
	b, err := strconv.ParseBool(values[0])
	if err != nil || len(values) > 1 {
		return nil, fmt.Errorf("true or false, once, not %s", strings.Join(values, " and "))
	}
	return &b, nil
}

// until reads the filter of that name, which is given once.
func until(values []string) (time.Time, error) {
	if len(values) == 0 {
		return time.Time{}, nil
	}
	if len(values) > 1 {
		return time.Time{}, exitError{codeOwn, fmt.Errorf("--filter until: one time, not %s", strings.Join(values, " and "))}
	}
	t, err := images.ParseTime(values[0], time.Now())
	if err != nil {
		return t, exitError{codeOwn, fmt.Errorf("--filter until: %w", err)}
	}
	return t, nil
}
