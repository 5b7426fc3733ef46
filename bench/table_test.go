// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// samples makes samples that took so many milliseconds.
func samples(list ...int) []sample {
	var all []sample
	for _, n := range list {
		all = append(all, sample{wall: time.Duration(n) * time.Millisecond, user: time.Millisecond})
	}
	return all
}

// TestMedian checks odd, even and empty lists, which are in no order.
func TestMedian(t *testing.T) {
	for name, c := range map[string]struct {
		list []sample
		want time.Duration
	}{
		"none": {nil, 0},
		"one":  {samples(7), 7 * time.Millisecond},
		"odd":  {samples(9, 1, 4), 4 * time.Millisecond},
		"even": {samples(100, 1, 2, 5), 3500 * time.Microsecond},
	} {
		if got := median(c.list, wall); got != c.want {
			t.Errorf("%s: median is %v, want %v", name, got, c.want)
		}
	}
}

// TestTable checks that medians and minimums are in their columns, and that a program without samples
// has no line.
func TestTable(t *testing.T) {
	list := []*subject{{name: "quick", samples: samples(3, 1, 2)}, {name: "left out"}}
	want := "milliseconds                          median   minimum      user    system\n" +
		"quick                                   2.00      1.00      1.00      0.00\n"
	if diff := cmp.Diff(want, table(list)); diff != "" {
		t.Error("the table differs (-want +got):\n", diff)
	}
}

// TestVerdict checks a goal that is reached exactly, one that is not, and one whose peer is missing.
func TestVerdict(t *testing.T) {
	list := []*subject{{name: "we", samples: samples(1, 2, 3)}, {name: "slow", samples: samples(4, 8, 12)}, {name: "quick", samples: samples(1, 1, 1)}}
	got := verdict(list, []goal{{"we", "slow", 0.25}, {"we", "quick", 1.5}, {"we", "missing", 1}})
	want := "ratio                                                             goal   medians  minimums\n" +
		"we / slow                                                         0.25      0.25      0.25  reached\n" +
		"we / quick                                                        1.50      2.00      1.00  not reached\n" +
		"we / missing                                                      1.00         -         -  not measured\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the verdict differs (-want +got):\n", diff)
	}
}

// TestAgainst checks that the quickest of the peers counts, and that one that was left out does not.
func TestAgainst(t *testing.T) {
	list := []*subject{{name: "slow", samples: samples(4)}, {name: "quick", samples: samples(3)}, {name: "left out"}}
	got := against(list, []imageGoal{{"we", []string{"slow", "quick"}, 0.5}, {"we", []string{"left out", "slow"}, 0.5}, {"we", []string{"left out"}, 0.5}})
	if diff := cmp.Diff([]goal{{"we", "quick", 0.5}, {"we", "slow", 0.5}, {"we", "left out", 0.5}}, got, cmp.AllowUnexported(goal{})); diff != "" {
		t.Error("the peers differ (-want +got):\n", diff)
	}
}

// TestLimits checks the promises without a peer, one reached and one not.
func TestLimits(t *testing.T) {
	list := []*subject{{name: stavePull, samples: []sample{{peak: 99e6}, {peak: 101e6}}}, {name: staveImages, samples: samples(90, 100, 300)}, {name: "other", samples: samples(1)}}
	want := "memory of stave pull                                            100 MB    101 MB  not reached\n" +
		"stave images of 1000                                         100.00 ms 100.00 ms  reached\n"
	if diff := cmp.Diff(want, limits(list)); diff != "" {
		t.Error("the promises differ (-want +got):\n", diff)
	}
}

// TestHierarchies checks which machines have the mixed layout of cgroups.
func TestHierarchies(t *testing.T) {
	const (
		root = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
		one  = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n"
		two  = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
		only = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
	)
	for name, c := range map[string]struct {
		mountinfo string
		points    []string
		mixed     bool
	}{
		"v1":    {root + one, []string{"/sys/fs/cgroup/cpu"}, false},
		"v2":    {only, nil, false},
		"mixed": {root + one + two, []string{"/sys/fs/cgroup/cpu"}, true},
	} {
		points, mixed := hierarchiesV1(c.mountinfo)
		if diff := cmp.Diff(c.points, points); diff != "" || mixed != c.mixed {
			t.Errorf("%s: mixed is %v, want %v; mount points (-want +got):\n%s", name, mixed, c.mixed, diff)
		}
	}
}
