// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
)

// cgroupsPath names the container's cgroup: in the one that the person has named, or else at the top, and for a caller
// who is not root beside his own.
func (s Settings) cgroupsPath() string {
	switch parent := s.Limits.CgroupParent; {
	case parent != "":
		return strings.TrimSuffix(parent, "/") + "/" + s.ID
	case cgroups.Root():
		return "/stave-" + s.ID
	}
	return "stave-" + s.ID
}

// lookAtDevice finds the number, kind and owner of a device of the host.
func lookAtDevice(d Device) (specs.LinuxDevice, error) {
	kind, major, minor, err := deviceNumber(d.Host)
	if err != nil {
		return specs.LinuxDevice{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(d.Host, &st); err != nil {
		return specs.LinuxDevice{}, &os.PathError{Op: "stat", Path: d.Host, Err: err}
	}
	mode := fs.FileMode(st.Mode & 0o777)
	return specs.LinuxDevice{
		Path: d.Inside, Type: kind, Major: major, Minor: minor, FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
	}, nil
}

// deviceNumber returns the type, c or b, and the numbers of the device in a file.
func deviceNumber(file string) (kind string, major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", 0, 0, &os.PathError{Op: "stat", Path: file, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		kind = "c"
	case unix.S_IFBLK:
		kind = "b"
	default:
		return "", 0, 0, fmt.Errorf("%s is not a device", file)
	}
	return kind, int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))), nil
}

// countsSwap tells whether the machine limits swap: a kernel may be told not to (swapaccount=0). In version 2 the
// file is in every folder but the top.
func countsSwap(l cgroups.Layout) bool {
	for _, h := range l.Hierarchies {
		if !slices.Contains(h.Controllers, "memory") {
			continue
		}
		file := h.Mount + "/memory.memsw.limit_in_bytes"
		if h.Version == 2 {
			if file = h.Mount + h.Own + "/memory.swap.max"; h.Own == "/" {
				file = "/proc/swaps"
			}
		}
		if unix.Access(file, unix.F_OK) == nil {
			return true
		}
	}
	return false
}
