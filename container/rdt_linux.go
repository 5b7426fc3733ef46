// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Assemble is mkdirat(2).
func (m MakeFolder) Assemble(a *kernel.Assembler) {
	const mode = 0o755
	a.Sys(unix.SYS_MKDIRAT, kernel.Int(unix.AT_FDCWD), kernel.Str(m.Path), kernel.Int(mode))
}

// Undo removes the folder of a container that did not start. Its processes have left it by ending.
func (m MakeFolder) Undo(*kernel.Host) error { return os.Remove(m.Path) }

// readResctrl looks for resctrl, and for the container's group in it.
//
//	36 24 0:31 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw
//	             5                                      behind the dash: type
func readResctrl(r *specs.LinuxIntelRdt, id string) (f Resctrl, err error) {
	if r == nil {
		return f, nil
	}
	data, err := kernel.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "resctrl ") && len(fields) > 4 {
			f.Mount = fields[4]
		}
	}
	if f.Mount == "" {
		return f, nil
	}
	group := path.Join(f.Mount, rdtGroup(r, id))
	if unix.Access(group, unix.F_OK) != nil {
		return f, nil
	}
	f.Exists = true
	text, err := kernel.ReadFile(group + "/schemata")
	f.Schemata = string(text)
	return f, err
}

// removeRdt removes the groups of a container that has ended.
func removeRdt(folders []string) error {
	var errs []error
	for _, folder := range folders {
		if err := os.Remove(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
