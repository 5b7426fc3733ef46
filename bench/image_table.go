// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What stave has promised of images.
const (
	manyImages = 1000
	manyGoal   = 100 * time.Millisecond // to list them
	peakGoal   = 100e6                  // bytes of memory, whatever the image's size
)

// imageGoal is a promise: what takes at most ratio times as long as the quickest of the peers.
type imageGoal struct {
	what  string
	peers []string
	ratio float64
}

// imageGoals are those of stave, in the order in which they are printed.
func imageGoals() []imageGoal {
	return []imageGoal{
		{staveUnpack, []string{umociUnpack, podmanUnpack}, 0.5},
		{stavePacked, []string{skopeoCopy}, 0.7},
		{stavePull, []string{podmanPull}, 0.7},
	}
}

// against chooses the quickest peer of each goal. Where all were left out it is the first, and is said to be not measured.
func against(subjects []*subject, goals []imageGoal) []goal {
	list := make([]goal, len(goals))
	for i, g := range goals {
		quickest := slices.MinFunc(g.peers, func(a, b string) int {
			first, second := samplesOf(subjects, a), samplesOf(subjects, b)
			if len(first) == 0 || len(second) == 0 {
				return len(second) - len(first)
			}
			return int(median(first, wall) - median(second, wall))
		})
		list[i] = goal{g.what, quickest, g.ratio}
	}
	return list
}

// imageTable prints what each task took, and how much memory at most.
func imageTable(subjects []*subject) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-34s%10s%10s%10s%10s%10s\n", "seconds", "median", "minimum", "user", "system", "peak MB")
	for _, s := range subjects {
		if len(s.samples) == 0 {
			continue
		}
		fmt.Fprintf(&out, "%-34s%10.2f%10.2f%10.2f%10.2f%10.0f\n", s.name, median(s.samples, wall).Seconds(), sorted(s.samples, wall)[0].Seconds(),
			median(s.samples, user).Seconds(), median(s.samples, system).Seconds(), peak(s.samples)/1e6)
	}
	return out.String()
}

// peak is the most memory that a run had, in bytes.
func peak(samples []sample) float64 {
	most := int64(0)
	for _, s := range samples {
		most = max(most, s.peak)
	}
	return float64(most)
}

// limits prints the promises that need no peer: how long a list takes, and how much memory a pull.
func limits(subjects []*subject) string {
	var out strings.Builder
	for _, s := range subjects {
		if len(s.samples) == 0 || !strings.HasPrefix(s.name, stavePull) {
			continue
		}
		fmt.Fprintf(&out, "%-60s%7.0f MB%7.0f MB%s\n", "memory of "+s.name, peakGoal/1e6, peak(s.samples)/1e6, reached(peak(s.samples) <= peakGoal))
	}
	if list := samplesOf(subjects, staveImages); len(list) > 0 {
		took := median(list, wall)
		fmt.Fprintf(&out, "%-60s%7s ms%7s ms%s\n", fmt.Sprintf("%s of %d", staveImages, manyImages), milliseconds(manyGoal), milliseconds(took), reached(took <= manyGoal))
	}
	return out.String()
}

// reached is the last word on a goal.
func reached(is bool) string {
	if is {
		return "  reached"
	}
	return "  not reached"
}
