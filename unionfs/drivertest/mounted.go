// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/unionfs"
)

// Mounted makes a container's mount namespace, runs a root's calls there, and returns a path that leads to the root as the container
// sees it. The process that keeps the namespace does nothing, and ends with unmount, or with the test.
func Mounted(t testing.TB, root unionfs.Root) (path string, unmount func()) {
	t.Helper()
	inside := []kernel.Call{{Request: privately{}, Why: "the machine sees nothing of what is mounted here"}}
	inside = append(inside, root.Calls...)
	inside = append(inside, kernel.Call{Request: kernel.Exec{Args: []string{"sleep", "infinity"}}})
	program := kernel.Program{
		Host:      []kernel.Call{{Request: kernel.Clone{Flags: unix.CLONE_NEWNS}}},
		Container: inside,
	}
	process, err := program.Start(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	unmount = func() {
		if ended {
			return
		}
		ended = true
		unix.Kill(process.Pid, unix.SIGKILL)
		process.Wait()
	}
	t.Cleanup(unmount)
	return fmt.Sprintf("/proc/%d/root%s", process.Pid, root.Path), unmount
}

// privately cuts the mounts of a namespace off from the machine's.
type privately struct{}

// String is mount(8)'s word for it.
func (privately) String() string { return "make / rprivate" }

// Shell is mount(8).
func (privately) Shell() string { return "mount --make-rprivate /" }

// Assemble is one call of mount(2).
func (privately) Assemble(a *kernel.Assembler) {
	none := kernel.Int(0)
	a.Sys(unix.SYS_MOUNT, none, kernel.Str("/"), none, kernel.Int(unix.MS_REC|unix.MS_PRIVATE), none)
}
