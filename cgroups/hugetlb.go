// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"regexp"
	"strconv"

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
		if ok, _ := regexp.MatchString(`^[1-9][0-9]{0,3}[KMG]B$`, h.Pagesize); !ok {
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
