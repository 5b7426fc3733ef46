// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Values reads what [Group.Change] has to know.
func (g Group) Values() (Values, error) {
	v := Values{}
	for _, file := range []string{
		"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.usage_in_bytes", "memory.max", "memory.current",
		"cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.rt_period_us", "cpu.max", "cpu.max.burst", "cpu.idle",
	} {
		controller, _, _ := strings.Cut(file, ".")
		f, ok := g.Folder(controller)
		if !ok {
			continue
		}
		text, err := kernel.ReadFile(f.File(file))
		if errors.Is(err, os.ErrNotExist) && unix.Access(f.Path, unix.F_OK) == nil {
			continue // a file of the other version, or of another kernel
		}
		if err != nil {
			return nil, err
		}
		v[file] = strings.TrimSpace(string(text))
	}
	return v, nil
}

// Update sets limits of a living group. Either all are set or, after an error, all are as they were; but not what
// was asked of a file that can only be written, as memory.reclaim in unified. The error names file and value.
func (g Group) Update(r *specs.LinuxResources) error {
	now, err := g.Values()
	if err != nil {
		return err
	}
	calls, err := g.Change(r, now)
	if err != nil {
		return err
	}
	return apply(calls)
}

// apply runs calls of a plan in this process, and takes them back when one fails. The files pass through the same
// states in reverse, each of which the kernel has allowed before; a write that it refused has changed nothing.
func apply(calls []kernel.Call) error {
	var back []kernel.Call
	for _, call := range calls {
		var old []kernel.Call
		for _, w := range aims(call.Request) {
			old = append(old, restore(w)...)
		}
		err := do(call)
		if err == nil {
			back = append(back, old...)
			continue
		}
		for _, undo := range slices.Backward(back) {
			if e := do(undo); e != nil {
				err = errors.Join(err, fmt.Errorf("put back: %w", e))
			}
		}
		return err
	}
	return nil
}

// restore returns the calls that make a write undone, to be done from the last to the first. A cpuset with processes can't
// be made empty again (ENOSPC), which in version 2 means all that the group above has: then those are written.
func restore(w kernel.WriteFile) []kernel.Call {
	old, err := kernel.ReadFile(w.Path)
	if err != nil {
		return nil
	}
	undo := kernel.Call{
		Request: kernel.WriteFile{Path: w.Path, Data: before(w, string(old))}, Why: "as it was",
		Ignore: []unix.Errno{unix.EOPNOTSUPP}, // that file of several did not take the write either
	}
	if name := path.Base(w.Path); undo.Request.(kernel.WriteFile).Data != "\n" || name != "cpuset.cpus" && name != "cpuset.mems" {
		return []kernel.Call{undo}
	}
	undo.Ignore = append(undo.Ignore, unix.ENOSPC)
	effective, err := kernel.ReadFile(w.Path + ".effective")
	if err != nil {
		return []kernel.Call{undo}
	}
	return []kernel.Call{undo, {Request: kernel.WriteFile{Path: w.Path, Data: string(effective)}, Why: "as it was"}}
}

// do carries out a call. The error names the file once.
func do(call kernel.Call) error {
	err := call.Request.(kernel.Doer).Do(&kernel.Host{})
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	if err == nil || slices.ContainsFunc(call.Ignore, func(e unix.Errno) bool { return errors.Is(err, e) }) {
		return nil
	}
	return fmt.Errorf("%s: %w", call, err)
}

// aims returns the writes that a request may come down to.
func aims(r kernel.Request) []kernel.WriteFile {
	switch r := r.(type) {
	case either:
		return r.present()
	case among:
		return []kernel.WriteFile{r.WriteFile}
	}
	return []kernel.WriteFile{r.(kernel.WriteFile)}
}

// present returns the writes whose file is there.
func (e either) present() []kernel.WriteFile {
	return slices.DeleteFunc(slices.Clone(e.Writes), func(w kernel.WriteFile) bool { return unix.Access(w.Path, unix.F_OK) != nil })
}

// Do writes the first file that is there and works.
func (e either) Do(h *kernel.Host) error {
	missing := unix.ENOENT
	for _, w := range e.present() {
		if err := w.Do(h); !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
		missing = unix.EOPNOTSUPP
	}
	if folder := path.Dir(e.Writes[0].Path); unix.Access(folder, unix.F_OK) != nil {
		return fmt.Errorf("there is no cgroup %s", folder)
	}
	return fmt.Errorf("%w: %s", missing, e.Missing)
}

// Do checks the list and writes it.
func (a among) Do(h *kernel.Host) error {
	have, err := kernel.ReadFile(a.Of)
	if err != nil {
		return err
	}
	if err := a.check(string(have)); err != nil {
		return err
	}
	return a.WriteFile.Do(h)
}
