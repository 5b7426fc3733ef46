// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// HostRoot is the root of a container without a mount namespace: all its mounts are made in the caller's own. They lie on
// two mounts over the root folder, which [HostRoot.Detach] takes away again with all that is on them. A call of the host side,
// and only for root.
//
// The first mount is of the folder alone, private at once: mounts on it are seen in no other namespace. Where the folder lies
// in a shared mount, the others get this one mount, and it goes there too when it goes here, as there is nothing on it
// (Documentation/filesystems/sharedsubtree.rst of the kernel). The second is the tree of all that is mounted in the folder.
type HostRoot struct {
	// Path is the root folder: absolute, and without symbolic links.
	Path string
	// Below is how many mounts were on that folder before, those of an engine.
	Below int
}

// FindHostRoot counts what is mounted on a root folder. One that a container of this kind has already is refused: the one
// that ends first would take away the mounts of the other.
func FindHostRoot(folder string) (HostRoot, error) {
	list, err := mountsOn(folder)
	if err != nil {
		return HostRoot{}, err
	}
	seen := map[string]bool{}
	for _, m := range list {
		seen[m.what] = true
	}
	if len(seen) < len(list) {
		return HostRoot{}, fmt.Errorf("%s is mounted over itself twice: another container without a mount namespace has it, or one that was killed left it; delete that one, or unmount %[1]s twice", folder)
	}
	return HostRoot{Path: folder, Below: len(list)}, nil
}

// String names the folder.
func (r HostRoot) String() string {
	return fmt.Sprintf("mount the root %s over itself in this mount namespace, private", r.Path)
}

// Shell is empty: a script has a mount namespace.
func (r HostRoot) Shell() string { return "" }

// Assemble adds nothing: the host side does it, and takes it back.
func (r HostRoot) Assemble(*kernel.Assembler) {}

// Do mounts, and opens the upper mount as the slot "root".
func (r HostRoot) Do(h *kernel.Host) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, r.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", r.Path, explain(err))
	}
	h.Set(slotRoot, tree)
	cut := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &cut); err != nil {
		return fmt.Errorf("make a copy of %s private: %w", r.Path, explain(err))
	}
	if err := unix.Mount(r.Path, r.Path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s over itself: %w", r.Path, err)
	}
	err = unix.Mount("", r.Path, "", unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.MoveMount(tree, "", unix.AT_FDCWD, r.Path, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("mount %s over itself, private: %w", r.Path, err), r.Detach())
	}
	return nil
}

// Undo takes the mounts away.
func (r HostRoot) Undo(*kernel.Host) error { return r.Detach() }

// Detach takes away the two mounts, as long as there are more on the folder than before, and for the zero value nothing. It
// counts anew each time: the kernel puts copies of the first mount below other mounts that show the folder, and takes them away
// with it.
func (r HostRoot) Detach() error {
	if r.Path == "" {
		return nil
	}
	for range 2 {
		list, err := mountsOn(r.Path)
		if err == nil && len(list) > r.Below {
			err = detach(r.Path, list)
		}
		if err != nil {
			return fmt.Errorf("take the container's mounts from %s: %w", r.Path, err)
		}
	}
	return nil
}

// detach takes away the uppermost mount of those listed on a folder, with all that is mounted in it. It is made private before:
// what the container has bound of the host, with all below it, would go at its origin, too (umount2(2), MNT_DETACH). A path that
// leads to another mount by now is an error.
func detach(folder string, list []mounted) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, folder, &how)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(m mounted) bool { return m.id == st.Mnt_id }) {
		return fmt.Errorf("another mount hides it: the path leads to mount %d", st.Mnt_id)
	}
	opened := fmt.Sprintf("/proc/self/fd/%d", fd)
	if err := unix.Mount("", opened, "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Unmount(opened, unix.MNT_DETACH)
}

// mounted is one mount: its number, and what of which file system it shows.
type mounted struct {
	id   uint64
	what string
}

// mountsOn lists what is mounted on a folder, in no order that means anything (proc_pid_mountinfo(5)).
//
//	29 24 254:0 /srv/root /mnt rw,relatime shared:12 - ext4 /dev/vda rw
//	0     2     3         4
func mountsOn(folder string) ([]mounted, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var list []mounted
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || plain.Replace(fields[4]) != folder {
			continue
		}
		id, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/thread-self/mountinfo: %w", err)
		}
		list = append(list, mounted{id, fields[2] + " " + fields[3]})
	}
	return list, nil
}

// EnterRoot makes the open root the root of the calling process, and of those that it starts (chroot(2)): what a container
// without a mount namespace has instead of [Pivot]. As with [Chroot], a process with CAP_SYS_CHROOT can leave it.
type EnterRoot struct{}

// String says what it does.
func (EnterRoot) String() string { return "chroot to the root" }

// Shell is empty, as that of HostRoot.
func (EnterRoot) Shell() string { return "" }

// Assemble is fchdir(2), chroot(2) and chdir(2).
func (EnterRoot) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_FCHDIR, kernel.FD(slotRoot))
	a.Sys(unix.SYS_CHROOT, kernel.Str("."))
	a.Sys(unix.SYS_CHDIR, kernel.Str("/"))
}
