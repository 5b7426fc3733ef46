// SPDX-License-Identifier: Apache-2.0

package images

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// id makes a digest of a few digits and zeros.
func id(digits string) digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, digits+strings.Repeat("0", 64-len(digits)))
}

// someImages are images to choose from.
func someImages() []*Image {
	image := func(digits string, day int, labels map[string]string, names ...string) *Image {
		made := time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
		i := &Image{ID: id(digits), Config: &Config{Image: ocispec.Image{Created: &made}}, manifests: []digest.Digest{id("f" + digits)}}
		i.Config.Config.Labels = labels
		for _, name := range names {
			i.addName(name)
		}
		return i
	}
	return []*Image{
		image("abc1", 4, map[string]string{"a": "b", "c": ""}, "docker.io/library/busybox:latest", "docker.io/library/busybox:1.36"),
		image("abc2", 3, map[string]string{"a": "x"}, "docker.io/team/app:1", "docker.io/team/app@"+id("fabc2").String()),
		image("def0", 2, nil, "registry.example:5000/abc1:v1"),
		image("0d", 1, nil),
		image("0e", 5, nil, "latest", "tool:2", "abc"), // as other programs name them
	}
}

// TestFind looks images up as people write them.
func TestFind(t *testing.T) {
	for word, want := range map[string]string{
		"busybox": "abc1", "busybox:1.36": "abc1", "docker.io/library/busybox": "abc1", "library/busybox:latest": "abc1",
		"team/app:1": "abc2", "team/app@" + id("fabc2").String(): "abc2", "team/app:9@" + id("fabc2").String(): "abc2",
		"registry.example:5000/abc1:v1": "def0",
		"d":                             "def0", "def0": "def0", "sha256:def": "def0", id("def0").String(): "def0", id("abc1").Encoded(): "abc1",
		id("fdef0").String(): "def0",
		"0d":                 "0d", "latest": "0e", "tool:2": "0e", "abc": "0e",
		"abc1": "abc1", "abc2": "abc2",
		"ab": "ambiguous", "sha256:abc": "ambiguous", "0": "ambiguous",
		"nothing": "missing", "busybox:2": "missing", "9": "missing", "team/app": "missing", "": "missing", "../x": "missing", "UPPER": "missing",
		"sha256:": "missing", id("1").String(): "missing", "busybox@" + id("fabc1").String(): "missing",
	} {
		image, err := find(someImages(), word)
		got := ""
		switch {
		case errors.Is(err, ErrNotFound):
			got = "missing"
		case errors.Is(err, ErrAmbiguous):
			got = "ambiguous"
		case err != nil:
			got = err.Error()
		default:
			got = strings.TrimRight(image.ID.Encoded(), "0")
			if want == "def0" {
				got += "0"
			}
		}
		if got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
}

// TestFilter chooses images by each filter, and by several.
func TestFilter(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		filter Filter
		want   []string
	}{
		"all":                   {Filter{}, []string{"abc1", "abc2", "def", "0d", "0e"}},
		"dangling":              {Filter{Dangling: &yes}, []string{"0d"}},
		"not dangling":          {Filter{Dangling: &no}, []string{"abc1", "abc2", "def", "0e"}},
		"label":                 {Filter{Labels: []string{"a"}}, []string{"abc1", "abc2"}},
		"label with value":      {Filter{Labels: []string{"a=b"}}, []string{"abc1"}},
		"labels":                {Filter{Labels: []string{"a", "c"}}, []string{"abc1"}},
		"label, empty value":    {Filter{Labels: []string{"c="}}, []string{"abc1"}},
		"without label":         {Filter{WithoutLabels: []string{"a=b"}}, []string{"abc2", "def", "0d", "0e"}},
		"before":                {Filter{Before: []string{"team/app:1"}}, []string{"def", "0d"}},
		"since":                 {Filter{Since: []string{"abc2"}}, []string{"abc1", "0e"}},
		"before and since":      {Filter{Before: []string{"busybox"}, Since: []string{"0d"}}, []string{"abc2", "def"}},
		"until":                 {Filter{Until: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}, []string{"0d"}},
		"reference":             {Filter{References: []string{"busybox"}}, []string{"abc1"}},
		"reference, tag":        {Filter{References: []string{"busybox:1.*"}}, []string{"abc1"}},
		"reference, folder":     {Filter{References: []string{"*/app"}}, []string{"abc2"}},
		"reference, in full":    {Filter{References: []string{"docker.io/library/busybox"}}, []string{"abc1"}},
		"reference, several":    {Filter{References: []string{"busybox", "team/*"}}, []string{"abc1", "abc2"}},
		"reference, other tool": {Filter{References: []string{"tool:*"}}, []string{"0e"}},
		"reference, none":       {Filter{References: []string{"nothing*"}}, nil},
		"label and reference":   {Filter{Labels: []string{"a"}, References: []string{"team/app"}}, []string{"abc2"}},
	} {
		chosen, err := test.filter.apply(someImages())
		var got []string
		for _, image := range chosen {
			got = append(got, strings.TrimRight(image.ID.Encoded(), "0"))
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got:\n%s", name, err, diff)
		}
	}
	for name, filter := range map[string]Filter{
		"before nothing": {Before: []string{"nothing"}}, "since an ambiguous one": {Since: []string{"ab"}}, "a bad pattern": {References: []string{"["}},
	} {
		if _, err := filter.apply(someImages()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	chosen, _ := Filter{References: []string{"busybox:1.36"}}.apply(someImages())
	if len(chosen) != 1 || !cmp.Equal(chosen[0].Names, []string{"docker.io/library/busybox:1.36"}) {
		t.Errorf("a pattern that one of two names matches shows %+v", chosen)
	}
}

// TestParseTime reads the times of filters.
func TestParseTime(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"24h": "2026-03-03T12:00:00Z", "90m": "2026-03-04T10:30:00Z", "1772625600": "2026-03-04T12:00:00Z", "1772625600.5": "2026-03-04T12:00:00.5Z",
		"99999999999": "5138-11-16T09:46:39Z",
		"2026-01-02":  "2026-01-02T00:00:00Z", "2026-01-02T03:04": "2026-01-02T03:04:00Z", "2026-01-02T03:04:05": "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05+02:00": "2026-01-02T01:04:05Z", "2026-01-02T03:04:05.25Z": "2026-01-02T03:04:05.25Z",
		"": "error", "yesterday": "error", "2026-13-01": "error", "1e300": "error", "-5": "error", "NaN": "error",
	} {
		got, err := ParseTime(text, now)
		text2 := got.UTC().Format(time.RFC3339Nano)
		if err != nil {
			text2 = "error"
		}
		if text2 != want {
			t.Errorf("%q is %s, want %s", text, text2, want)
		}
	}
}

// TestRepository parts names.
func TestRepository(t *testing.T) {
	for name, want := range map[string][3]string{
		"docker.io/library/busybox:latest":       {"busybox", "latest", ""},
		"docker.io/team/app@" + id("1").String(): {"team/app", "", id("1").String()},
		"registry.example:5000/app:v1":           {"registry.example:5000/app", "v1", ""},
		"busybox:1":                              {"busybox", "1", ""},
		"latest":                                 {"latest", "", ""},
		"what is this":                           {"what is this", "", ""},
	} {
		repository, tag, digest := Repository(name)
		if got := [3]string{repository, tag, digest}; got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
