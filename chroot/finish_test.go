// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stave/internal/witness"
	"stave/kernel"
)

// TestSwappedMountPoint lends a folder read-only below a folder that somebody else may write to as well.
// That somebody puts a symbolic link in the place of the mount point, before one call or another: the
// mount may land where the link leads, but there must be no moment when it is writable.
func TestSwappedMountPoint(t *testing.T) {
	for name, add := range map[string]func(b *box, lent string){
		"ro":     func(b *box, lent string) { b.mount("bind", lent, "/mnt/sub", "bind", "ro") },
		"rro":    func(b *box, lent string) { b.mount("bind", lent, "/mnt/sub", "rbind", "rro", "rprivate") },
		"id map": func(b *box, lent string) { idMapped(b, lent, "/mnt/sub", "idmap", "ro", "private") },
	} {
		stride := 1
		if testing.Short() { // as on an emulated processor
			stride = 4
		}
		for at, count := 1, 1; at <= count; at += stride {
			t.Run(fmt.Sprintf("%s, before call %d", name, at), func(t *testing.T) {
				inBox(t, func(b *box) {
					shared, lent := lendBelow(b)
					add(b, lent)
					count = len(b.program("").Container)
					checkSwap(b, shared, at)
				})
			})
		}
	}
}

// lendBelow makes two folders of the host, and a box that has the first, writable, on /mnt.
func lendBelow(b *box) (shared, lent string) {
	b.t.Helper()
	dir := filepath.Dir(b.Path)
	shared, lent = filepath.Join(dir, "shared"), filepath.Join(dir, "lent")
	must(b.t, os.MkdirAll(shared+"/sub", 0o755))
	must(b.t, os.Mkdir(lent, 0o755))
	b.mount("proc", "proc", "/proc")
	b.mount("tmpfs", "tmpfs", "/dev")
	b.mount("tmpfs", "tmpfs", "/dev/shm")
	b.mount("bind", shared, "/mnt", "bind")
	return shared, lent
}

// checkSwap runs the box, swaps the mount point before the call of that number, and looks at the mounts of
// the container before each call and in the end.
func checkSwap(b *box, shared string, at int) {
	b.t.Helper()
	swapped := false
	b.step = func(s kernel.Step) error {
		if s.Side != kernel.ContainerSide {
			return nil
		}
		for _, m := range witness.Mounts(b.t, s.Pid) {
			if filepath.Base(m.Root) == "lent" && !strings.HasPrefix(m.Options, "ro,") {
				b.t.Errorf("before %s the folder is on %s with %s", s, m.Point, m.Options)
			}
		}
		if s.Index != at {
			return nil
		}
		swapped = true
		if err := os.Rename(shared+"/sub", shared+"/old"); err != nil {
			return err
		}
		return os.Symlink("/dev/shm", shared+"/sub")
	}
	out, _, err := b.run(`exec 2>&1; while read a b c d e f g; do case $d in */lent) echo ${f%%,*}; touch $e/x;; esac; done </proc/self/mountinfo`)
	must(b.t, err)
	onLink, onFolder := "ro\ntouch: /dev/shm/x: Read-only file system\n", "ro\ntouch: /mnt/old/x: Read-only file system\n"
	if !swapped || out != onLink && out != onFolder {
		b.t.Errorf("swapped: %t; the folder inside is %q", swapped, out)
	}
}
