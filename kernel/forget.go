// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"
)

// span is a piece of memory, from a first address to the one behind the last.
type span struct{ from, to uintptr }

// planToForget fills in the row by which a process that is to wait gives back the memory that it has from its parent: all
// of it but what the walk needs. Such a process may wait for hours, and would hold some megabytes of the parent's heap.
func (w *walker) planToForget(t *table) error {
	at := slices.IndexFunc(t.rows, func(r row) bool { return r.kind == opForget })
	if at < 0 {
		return nil
	}
	maps, err := ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	ranges := make([]uintptr, 0, 4*strings.Count(string(maps), "\n")+32)
	kept := []span{
		memoryOf(t.rows), memoryOf(t.memory), memoryOf(ranges[:cap(ranges)]),
		memoryOf(unsafe.Slice(t.regs, 1)), memoryOf(unsafe.Slice(w, 1)),
	}
	page := uintptr(os.Getpagesize())
	for _, s := range droppable(string(maps), kept, page) {
		if len(ranges) < cap(ranges) {
			ranges = append(ranges, s.from, s.to)
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	t.forgotten = ranges
	t.rows[at].args[0], t.rows[at].args[1], t.rows[at].args[2] = uintptr(unsafe.Pointer(&ranges[0])), uintptr(len(ranges)/2), page
	return nil
}

// memoryOf is where the elements of a slice are.
func memoryOf[T any](list []T) span {
	if len(list) == 0 {
		return span{}
	}
	from := uintptr(unsafe.Pointer(&list[0]))
	return span{from, from + uintptr(len(list))*unsafe.Sizeof(list[0])}
}

// droppable returns the mapped memory outside whole pages around what is kept. The kernel's own pages ("[vdso]") can't be
// given back.
//
//	00400000-004e2000 r-xp 00000000 fe:00 1204 /usr/bin/stave-oci
//	1                 2    3        4     5    6
func droppable(maps string, kept []span, page uintptr) []span {
	var list []span
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		var s span
		if _, err := fmt.Sscanf(line, "%x-%x ", &s.from, &s.to); err != nil || len(fields) < 5 {
			continue
		}
		special := len(fields) > 5 && strings.HasPrefix(fields[5], "[v")
		if special || strings.HasPrefix(fields[1], "---") || fields[1][3] == 's' {
			continue
		}
		list = append(list, without(s, kept, page)...)
	}
	return list
}

// without cuts whole pages out of a span.
func without(s span, kept []span, page uintptr) []span {
	rest := []span{s}
	for _, k := range kept {
		from, to := k.from&^(page-1), (k.to+page-1)&^(page-1)
		var next []span
		for _, r := range rest {
			if to <= r.from || from >= r.to {
				next = append(next, r)
				continue
			}
			if r.from < from {
				next = append(next, span{r.from, from})
			}
			if to < r.to {
				next = append(next, span{to, r.to})
			}
		}
		rest = next
	}
	return rest
}
