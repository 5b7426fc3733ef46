// SPDX-License-Identifier: Apache-2.0

package images

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// Filter chooses images: those that match every kind that is set, and of each kind one of its values; of labels, all.
type Filter struct {
	// Dangling wants images without a name, or with one.
	Dangling *bool
	// References are patterns of names (path.Match) such as busybox, */busybox:1.* and docker.io/library/*.
	References []string
	// Labels are NAME or NAME=VALUE; WithoutLabels wants images that have none of these.
	Labels, WithoutLabels []string
	// Before and Since name images; those made before the one, and after the other, are chosen.
	Before, Since []string
	// Until is a time: images made before it are chosen.
	Until time.Time
}

// apply returns the images that the filter chooses, each with the names only that References choose.
func (f Filter) apply(list []*Image) ([]*Image, error) {
	before, since, err := f.times(list)
	if err != nil {
		return nil, err
	}
	for _, pattern := range f.References {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("the pattern of names %q: %w", pattern, err)
		}
	}
	var chosen []*Image
	for _, image := range list {
		switch {
		case f.Dangling != nil && image.Dangling() != *f.Dangling,
			!f.Until.IsZero() && !image.Created().Before(f.Until),
			!before.IsZero() && !image.Created().Before(before),
			!since.IsZero() && !image.Created().After(since),
			!f.labelled(image):
			continue
		}
		if image = f.named(image); image != nil {
			chosen = append(chosen, image)
		}
	}
	return chosen, nil
}

// times finds the images that Before and Since name: the latest of the first, the earliest of the others.
func (f Filter) times(list []*Image) (before, since time.Time, err error) {
	for _, word := range f.Before {
		image, err := find(list, word)
		if err != nil {
			return before, since, fmt.Errorf("the filter before: %w", err)
		}
		if before.IsZero() || image.Created().After(before) {
			before = image.Created()
		}
	}
	for _, word := range f.Since {
		image, err := find(list, word)
		if err != nil {
			return before, since, fmt.Errorf("the filter since: %w", err)
		}
		if since.IsZero() || image.Created().Before(since) {
			since = image.Created()
		}
	}
	return before, since, nil
}

// labelled tells whether an image has the labels that are wanted, and none that is not.
func (f Filter) labelled(image *Image) bool {
	has := func(label string) bool {
		name, want, valued := strings.Cut(label, "=")
		value, ok := image.Config.Config.Labels[name]
		return ok && (!valued || value == want)
	}
	for _, label := range f.Labels {
		if !has(label) {
			return false
		}
	}
	return !slices.ContainsFunc(f.WithoutLabels, has)
}

// named returns an image with the names that match References, or nil if none does.
func (f Filter) named(image *Image) *Image {
	if len(f.References) == 0 {
		return image
	}
	matches := func(name string) bool {
		return slices.ContainsFunc(f.References, func(pattern string) bool { return matchName(pattern, name) })
	}
	chosen := *image
	chosen.Names, chosen.Digests = nil, nil
	for _, name := range image.Names {
		if matches(name) {
			chosen.Names = append(chosen.Names, name)
		}
	}
	chosenRepositories := repositories(chosen.Names)
	for _, name := range image.Digests { // those of a repository whose tag is chosen belong to it
		if repository, _, _ := Repository(name); matches(name) || slices.Contains(chosenRepositories, repository) {
			chosen.Digests = append(chosen.Digests, name)
		}
	}
	if chosen.Dangling() {
		return nil
	}
	return &chosen
}

// matchName holds a name against a pattern: its short form, with and without tag or digest, and its full one.
func matchName(pattern, name string) bool {
	named := parse(name)
	if named == nil {
		ok, _ := path.Match(pattern, name) // the pattern was checked
		return ok || pattern == name
	}
	for _, form := range []string{reference.FamiliarString(named), reference.FamiliarName(named), named.String(), named.Name()} {
		if ok, _ := path.Match(pattern, form); ok {
			return true
		}
	}
	return false
}

// ParseTime reads a time of a filter: a date with or without a time of day, seconds since 1970, or how long ago, such as 24h.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1<<40 {
		whole, part := math.Modf(seconds)
		return time.Unix(int64(whole), int64(part*1e9)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02Z07:00", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("the time %q: a date such as 2026-01-31 or 2026-01-31T12:00:00, seconds since 1970, or how long ago, such as 24h", text)
}
