// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// cpuset plans linux.resources.cpu.cpus and mems.
func (p *planner) cpuset(r *specs.LinuxResources) error {
	if r.CPU == nil {
		return nil
	}
	for _, s := range []struct{ name, list, why string }{
		{"cpus", r.CPU.Cpus, "the container runs on these processors only"},
		{"mems", r.CPU.Mems, "the container's memory is on these nodes only"},
	} {
		if s.list == "" {
			continue
		}
		f, err := p.folder("cpu."+s.name, "cpuset")
		if err != nil {
			return err
		}
		file := f.File("cpuset." + s.name)
		if _, err := parseSpans(s.list); err != nil {
			return refuse("cpu."+s.name, strconv.Quote(s.list), file, err.Error())
		}
		of := "cpuset." + s.name + ".effective"
		if f.Version == 1 {
			of = "cpuset.effective_" + s.name
		}
		p.add(s.why, among{kernel.WriteFile{Path: file, Data: s.list}, path.Dir(f.Path) + "/" + of})
	}
	return nil
}

// span is a range of numbers, with both ends.
type span struct{ first, last int }

// parseSpans reads a list of processors or memory nodes (cpuset(7), "List format"), as "0-3,7". It returns the numbers in
// order as ranges that do not touch.
func parseSpans(text string) ([]span, error) {
	if text == "" {
		return nil, nil
	}
	var all []span
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := number(from)
		last, err2 := number(to)
		if err := cmp.Or(err1, err2); err != nil {
			return nil, err
		}
		if last < first {
			return nil, fmt.Errorf("the range %q ends before it begins: write it as %d-%d", part, last, first)
		}
		all = append(all, span{first, last})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	merged := all[:1]
	for _, s := range all[1:] {
		if end := &merged[len(merged)-1]; s.first <= end.last+1 {
			end.last = max(end.last, s.last)
			continue
		}
		merged = append(merged, s)
	}
	return merged, nil
}

// number reads one number of a list: digits, and no more of them than any machine's processors need.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no number from 0 to 65535: give a list like 0-3,7", text)
	}
	return int(n), nil
}
