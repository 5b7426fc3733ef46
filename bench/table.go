// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// sample is what one run of a program took.
type sample struct {
	wall         time.Duration // from before the fork to the end of wait4(2)
	user, system time.Duration // processor time, with that of its children
	peak         int64         // bytes of memory at most, of the program or a child that it waited for
}

// median returns the middle of the values that pick takes from samples, or the mean of the two in the
// middle; 0 when there are none.
func median(samples []sample, pick func(sample) time.Duration) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	values := sorted(samples, pick)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// sorted returns the values that pick takes from samples, the least first.
func sorted(samples []sample, pick func(sample) time.Duration) []time.Duration {
	values := make([]time.Duration, len(samples))
	for i, s := range samples {
		values[i] = pick(s)
	}
	slices.Sort(values)
	return values
}

// wall picks the time that passed.
func wall(s sample) time.Duration { return s.wall }

// user picks the processor time of the programs themselves.
func user(s sample) time.Duration { return s.user }

// system picks the processor time that the kernel spent for them.
func system(s sample) time.Duration { return s.system }

// table prints what each program took.
func table(subjects []*subject) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-34s%10s%10s%10s%10s\n", "milliseconds", "median", "minimum", "user", "system")
	for _, s := range subjects {
		if len(s.samples) == 0 {
			continue
		}
		least := sorted(s.samples, wall)[0]
		fmt.Fprintf(&out, "%-34s%10s%10s%10s%10s\n", s.name, milliseconds(median(s.samples, wall)), milliseconds(least),
			milliseconds(median(s.samples, user)), milliseconds(median(s.samples, system)))
	}
	return out.String()
}

// milliseconds prints a time with two digits after the point.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}

// goal is a promise: what takes at most ratio times as long as peer.
type goal struct {
	what, peer string
	ratio      float64
}

// goals are those of stave, in the order in which they are printed.
func goals() []goal {
	return []goal{
		{nameStave, nameRunc, 0.25},
		{nameStave, nameCrun, 0.8},
		{nameStave, nameUnshare, 2},
		{nameStave + limited, nameRunc + limited, 0.25},
		{nameStave + limited, nameCrun + limited, 0.8},
		{"stave-oci" + cycle, "runc" + cycle, 0.25},
		{"stave-oci" + cycle, "crun" + cycle, 0.8},
		{"stave-oci" + inside, "crun" + inside, 0.8},
	}
}

// verdict prints for each goal the ratio of the medians, that of the minimums, and whether the first
// is within the goal. A goal whose peer was left out is said to be not measured.
func verdict(subjects []*subject, goals []goal) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-60s%10s%10s%10s\n", "ratio", "goal", "medians", "minimums")
	for _, g := range goals {
		name := g.what + " / " + g.peer
		what, peer := samplesOf(subjects, g.what), samplesOf(subjects, g.peer)
		if len(what) == 0 || len(peer) == 0 {
			fmt.Fprintf(&out, "%-60s%10.2f%10s%10s  not measured\n", name, g.ratio, "-", "-")
			continue
		}
		ratio := float64(median(what, wall)) / float64(median(peer, wall))
		least := float64(sorted(what, wall)[0]) / float64(sorted(peer, wall)[0])
		word := "reached"
		if ratio > g.ratio {
			word = "not reached"
		}
		fmt.Fprintf(&out, "%-60s%10.2f%10.2f%10.2f  %s\n", name, g.ratio, ratio, least, word)
	}
	return out.String()
}

// samplesOf returns the samples of the program with a name.
func samplesOf(subjects []*subject, name string) []sample {
	for _, s := range subjects {
		if s.name == name {
			return s.samples
		}
	}
	return nil
}
