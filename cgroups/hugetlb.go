// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// hugetlb plans linux.resources.hugepageLimits: the limit of reservations (rsvd) where the kernel has it, since a process
// over that learns it from mmap(2); over the limit of use it dies of SIGBUS.
func (p *planner) hugetlb(r *specs.LinuxResources) error {
	for i, h := range r.HugepageLimits {
		field := fmt.Sprintf("hugepageLimits[%d]", i)
		f, err := p.folder(field, "hugetlb")
		if err != nil {
			return err
		}
		if !isPageSize(h.Pagesize) {
			return refuse(field+".pageSize", strconv.Quote(h.Pagesize), f.Path, "give the size of a page, like 2MB or 1GB (ls /sys/kernel/mm/hugepages)")
		}
		suffix, limit := "limit_in_bytes", strconv.FormatUint(h.Limit, 10)
		if f.Version == 2 {
			suffix = "max"
		}
		p.add("the container may have so many bytes of huge pages", either{
			Writes: []kernel.WriteFile{
				{Path: f.File("hugetlb." + h.Pagesize + ".rsvd." + suffix), Data: limit},
				{Path: f.File("hugetlb." + h.Pagesize + "." + suffix), Data: limit},
			},
			Missing: "the processor has no pages of this size (ls /sys/kernel/mm/hugepages), or the group was not given the controller hugetlb (its cgroup.controllers)",
		})
	}
	return nil
}

// isPageSize tells whether a text is the size of a huge page as the kernel names its files: 64KB, 2MB, 1GB.
func isPageSize(text string) bool {
	if len(text) < 3 || len(text) > 6 || text[0] == '0' {
		return false
	}
	number, unit := text[:len(text)-2], text[len(text)-2:]
	return strings.Trim(number, "0123456789") == "" && (unit == "KB" || unit == "MB" || unit == "GB")
}
