// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// CopyUp makes a tmpfs that is mounted nowhere yet, fills it with what a folder of the image holds,
// and keeps it in a slot until [PlaceTree] mounts it ("tmpcopyup"). A host call: copying a tree is no
// list of kernel calls, and the image is a plain folder of the host at that time.
//
// Kinds, modes, owners, times, links and extended attributes are kept; sockets are left out. What is
// copied is the image's folder, not a mount that the configuration puts there.
type CopyUp struct {
	// Root is the root folder on the host, Folder the path in it whose content is copied; one that
	// is not there leaves the tmpfs empty.
	Root, Folder string
	// Flags are MS_* flags; Data is for the tmpfs. A mode, uid or gid there wins over the folder's.
	Flags uintptr
	Data  string
	// Into keeps the tmpfs.
	Into kernel.Slot
}

// String names the folder.
func (c CopyUp) String() string {
	return fmt.Sprintf("fill a tmpfs with what the image has in %s", c.Folder)
}

// Shell is empty: [PlaceTree] has the commands.
func (c CopyUp) Shell() string { return "" }

// Assemble adds nothing: Do copies.
func (c CopyUp) Assemble(*kernel.Assembler) {}

// Do makes the tmpfs and fills it while nobody can see it.
func (c CopyUp) Do(h *kernel.Host) error {
	tree, err := c.tmpfs()
	if err != nil {
		return err
	}
	h.Set(c.Into, tree)
	image, err := c.open()
	if err == unix.ENOENT {
		return c.protect(tree)
	}
	if err != nil {
		return fmt.Errorf("open %s of the image: %w", c.Folder, err)
	}
	defer unix.Close(image)
	from, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", image))
	if err != nil {
		return err
	}
	defer from.Close()
	to := copier{from: from, to: fmt.Sprintf("/proc/self/fd/%d", tree), keepTop: c.topOptions()}
	if err := to.all(); err != nil {
		return fmt.Errorf("copy %s of the image: %w", c.Folder, err)
	}
	return c.protect(tree)
}

// open opens the image's folder, which symbolic links can't lead out of the image.
func (c CopyUp) open() (int, error) {
	root, err := unix.Open(c.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return unix.Openat2(root, inside(c.Folder), &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: confined,
	})
}

// topOptions tells which properties of the tmpfs's own folder its options give.
func (c CopyUp) topOptions() (given map[string]bool) {
	given = map[string]bool{}
	for option := range strings.SplitSeq(c.Data, ",") {
		name, _, _ := strings.Cut(option, "=")
		given[name] = true
	}
	return given
}

// tmpfs makes the file system and a mount of it (fsopen(2), fsconfig(2), fsmount(2), Linux 5.2).
func (c CopyUp) tmpfs() (int, error) {
	context, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", explain(err))
	}
	defer unix.Close(context)
	if err := unix.FsconfigSetString(context, "source", "tmpfs"); err != nil {
		return -1, fmt.Errorf("fsconfig source: %w", err)
	}
	for _, option := range c.options() {
		name, value, pair := strings.Cut(option, "=")
		if pair {
			err = unix.FsconfigSetString(context, name, value)
		} else {
			err = unix.FsconfigSetFlag(context, name)
		}
		if err != nil {
			return -1, fmt.Errorf("option %s of the tmpfs: %w", option, err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, fmt.Errorf("make the tmpfs: %w", err)
	}
	set, _ := attributes(c.Flags&^unix.MS_RDONLY, 0)
	return unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, int(set))
}

// options are the options of the file system: its data, and those flags that are not the mount's.
// MS_SILENT and MS_I_VERSION change nothing about a tmpfs, and fsconfig(2) has no words for them.
func (c CopyUp) options() []string {
	var options []string
	if c.Data != "" {
		options = strings.Split(c.Data, ",")
	}
	const words = unix.MS_SYNCHRONOUS | unix.MS_DIRSYNC | unix.MS_MANDLOCK | unix.MS_LAZYTIME
	return slices.Concat(options, optionNames(c.Flags&words))
}

// protect makes the filled tmpfs read-only where the options say so.
func (c CopyUp) protect(tree int) error {
	if c.Flags&unix.MS_RDONLY == 0 {
		return nil
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &readOnly); err != nil {
		return fmt.Errorf("make the tmpfs read-only: %w", explain(err))
	}
	return nil
}
