// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Slot holds the descriptor of the group's folder in the v2 tree, for [kernel.Clone].
const Slot kernel.Slot = "cgroup"

// create returns the calls that make one folder and those above it that are missing. In version 2 the folders above
// are to give their controllers, those in must for sure; in a mixed layout only those.
func (f Folder) create(must []string) []kernel.Call {
	var calls []kernel.Call
	var give []string
	if f.Version == 2 {
		must = slices.DeleteFunc(slices.Clone(must), func(c string) bool { return !slices.Contains(f.Controllers, c) })
		if give = must; f.Sole {
			give = f.Controllers
		}
	}
	for _, dir := range f.chain() {
		if len(give) > 0 {
			calls = append(calls, kernel.Call{
				Request: Delegate{Path: path.Dir(dir), Controllers: give, Must: must},
				Why:     "a v2 folder has only the controllers that the one above it gives away",
			})
		}
		if !slices.Contains(f.New, dir) {
			continue
		}
		mkdir := kernel.Call{Request: Make{Path: dir, Shared: dir != f.Path}, Why: "limits hold for all processes in this folder"}
		if dir != f.Path {
			mkdir.Why, mkdir.Ignore = "the folder above it", []unix.Errno{unix.EEXIST} // another container may make it now
		}
		calls = append(calls, mkdir)
		if f.Version == 1 && slices.Contains(f.Controllers, "cpuset") {
			calls = append(calls, kernel.Call{Request: Inherit{dir}, Why: "a new cpuset is empty, and no process may enter it"})
		}
	}
	return calls
}

// chain lists the folders from below the top down to the group's own.
func (f Folder) chain() []string {
	var dirs []string
	for dir := f.Path; dir != f.Top && dir != "/"; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}

// needed lists the controllers that resources can't do without, by their v2 names.
func needed(r *specs.LinuxResources) []string {
	need := map[string]bool{
		"memory": r.Memory != nil, "pids": r.Pids != nil, "io": r.BlockIO != nil, "hugetlb": len(r.HugepageLimits) > 0,
		"rdma": len(r.Rdma) > 0,
	}
	if c := r.CPU; c != nil {
		need["cpuset"] = c.Cpus != "" || c.Mems != ""
		bare := *c
		bare.Cpus, bare.Mems = "", ""
		need["cpu"] = bare != specs.LinuxCPU{}
	}
	for file := range r.Unified {
		if controller, _, ok := strings.Cut(file, "."); ok && controller != "cgroup" {
			need[controller] = true
		}
	}
	maps.DeleteFunc(need, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(need))
}

// Enter returns how the container's first process gets into the group: the slot for [kernel.Clone] and the host call
// that fills it where the kernel can clone into a v2 folder (born), and the very first calls of the process where
// not. The file tasks moves one thread; writing to it about itself a process needs not wait for all others, as with
// cgroup.procs.
func (g Group) Enter(born bool) (slot kernel.Slot, host, inside []kernel.Call) {
	for _, f := range g.Folders {
		file := f.File("tasks")
		if f.Version == 2 {
			if born {
				slot = Slot
				host = append(host, kernel.Call{Request: Open{f.Path}, Why: "the process is to be born in it"})
				continue
			}
			file = f.File("cgroup.procs")
		}
		inside = append(inside, kernel.Call{
			Request: kernel.WriteFile{Path: file, Data: "0"},
			Why:     "the process puts itself (0) under the limits before it does anything else",
		})
	}
	return slot, host, inside
}

// Make makes the folder of a group (mkdir(2) on a cgroup file system). Undoing removes it with all groups below it, unless
// it is Shared: above the container's own.
type Make struct {
	Path   string
	Shared bool
}

// String names the folder.
func (m Make) String() string { return "make the cgroup " + m.Path }

// Shell is mkdir(1).
func (m Make) Shell() string { return "mkdir -p " + kernel.Quote(m.Path) }

// Assemble adds the system call.
func (m Make) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_MKDIRAT, kernel.Int(unix.AT_FDCWD), kernel.Str(m.Path), kernel.Int(0o755))
}

// Delegate lets a v2 folder give controllers to the folders below it, by its file cgroup.subtree_control.
type Delegate struct {
	Path string
	// Controllers are those to give, Must those whose refusal is an error.
	Controllers, Must []string
}

// String names folder and controllers.
func (d Delegate) String() string {
	return fmt.Sprintf("let %s give %s to its children", d.Path, strings.Join(d.Controllers, ", "))
}

// Shell writes each controller on its own, as one that can't be given must not hinder the others.
func (d Delegate) Shell() string {
	var lines []string
	for _, c := range d.Controllers {
		line := fmt.Sprintf("echo +%s > %s", c, kernel.Quote(d.Path+"/cgroup.subtree_control"))
		if !slices.Contains(d.Must, c) {
			line += " 2>/dev/null || :"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Assemble adds nothing: Do looks first at what is given already.
func (d Delegate) Assemble(*kernel.Assembler) {}

// Inherit gives a new v1 cpuset the processors and memory nodes of the one above it (cpuset(7)).
type Inherit struct{ Path string }

// String names the folder.
func (i Inherit) String() string { return "copy cpuset.cpus and cpuset.mems into " + i.Path }

// Shell copies the two files.
func (i Inherit) Shell() string {
	above, below := kernel.Quote(path.Dir(i.Path)), kernel.Quote(i.Path)
	return fmt.Sprintf("cat %s/cpuset.cpus > %s/cpuset.cpus\ncat %s/cpuset.mems > %s/cpuset.mems", above, below, above, below)
}

// Assemble adds nothing: Do reads before it writes.
func (i Inherit) Assemble(*kernel.Assembler) {}

// Open opens a folder of the v2 tree for clone3(2) with CLONE_INTO_CGROUP.
type Open struct{ Path string }

// String names the folder.
func (o Open) String() string { return "open the cgroup " + o.Path }

// Shell is empty: no command clones into a cgroup.
func (o Open) Shell() string { return "" }

// Assemble opens the folder into the slot.
func (o Open) Assemble(a *kernel.Assembler) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str(o.Path), kernel.Int(flags)).Into(Slot)
}
