// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where the machine's cgroup hierarchies are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// view is a thread in a mount namespace of its own, in which /run is a tmpfs, as it is on nearly every machine: there the
// runtimes keep their containers. In some views /sys/fs/cgroup shows the v1 hierarchies alone. What the thread starts is
// born there. A nil view is the machine's own namespace.
type view struct {
	jobs chan func()
	done chan struct{}
}

// newViews makes a view of the cgroups as they are, and one for crun: on a machine with the mixed layout that shows the v1
// hierarchies, on others it is the same. dir is a folder to be made.
func newViews(dir string) (plain, v1 *view, err error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, err
	}
	if plain, err = newView(dir, nil); err != nil {
		return nil, nil, err
	}
	hierarchies, mixed := hierarchiesV1(string(text))
	if !mixed {
		return plain, plain, nil
	}
	if v1, err = newView(dir, hierarchies); err != nil {
		plain.close()
	}
	return plain, v1, err
}

// newView makes a view, of these hierarchies alone if there are any.
func newView(dir string, hierarchies []string) (*view, error) {
	v := &view{make(chan func()), make(chan struct{})}
	made := make(chan error)
	go func() {
		defer close(v.done)
		runtime.LockOSThread() // never unlocked: the thread ends with this function, and its namespace
		err := enterView(dir, hierarchies)
		made <- err
		for err == nil {
			job, more := <-v.jobs
			if !more {
				return
			}
			job()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("a mount namespace for the runtimes: %w", err)
	}
	return v, nil
}

// hierarchiesV1 returns the mount points of the cgroup v1 hierarchies below /sys/fs/cgroup, and
// whether a v2 tree is mounted beside them.
//
//	32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
//	             5                                8
func hierarchiesV1(mountinfo string) (points []string, mixed bool) {
	two := false
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(super) == 0 || !strings.HasPrefix(fields[4], cgroupRoot+"/") {
			continue
		}
		switch super[0] {
		case "cgroup":
			points = append(points, fields[4])
		case "cgroup2":
			two = true
		}
	}
	return points, two && len(points) > 0
}

// enterView moves the calling thread into the view. The tmpfs is filled at dir and then moved, as the
// hierarchies can't be reached once it covers them.
func enterView(dir string, hierarchies []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE); err != nil {
		return err
	}
	if err := mount("tmpfs", "/run", "tmpfs", 0); err != nil || len(hierarchies) == 0 {
		return err
	}
	if err := mount("tmpfs", dir, "tmpfs", 0); err != nil {
		return err
	}
	for _, h := range hierarchies {
		at := filepath.Join(dir, filepath.Base(h))
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := mount(h, at, "", unix.MS_BIND); err != nil {
			return err
		}
	}
	if err := unix.Unmount(cgroupRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach %s: %w", cgroupRoot, err)
	}
	return mount(dir, cgroupRoot, "", unix.MS_MOVE)
}

// do runs a function on the view's thread and waits for it.
func (v *view) do(job func()) {
	if v == nil {
		job()
		return
	}
	done := make(chan struct{})
	v.jobs <- func() {
		defer close(done)
		job()
	}
	<-done
}

// close ends the thread and with it the namespace.
func (v *view) close() {
	if v == nil {
		return
	}
	close(v.jobs)
	<-v.done
}

// mount is mount(2) with an error that names the folder.
func mount(source, target, kind string, flags uintptr) error {
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
