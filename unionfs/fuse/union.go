// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// union is what fuse-overlayfs is told. Its paths are short ones relative to the folder with the links to the layers: no name of
// a folder can be taken for an option, and no number of layers makes a line too long.
type union struct {
	dir          string
	point        string
	lower, other []string
}

// union plans the mount of a stack.
func (d Driver) union(s unionfs.Stack) union {
	u := union{dir: filepath.Join(s.Dir, "layers"), point: filepath.Join(s.Dir, "merged"), other: []string{"dev", "suid"}}
	for i := range s.Layers { // the first is the highest
		u.lower = append(u.lower, unionfs.ShortPath(s, len(s.Layers)-1-i))
	}
	if len(s.Layers) == 0 {
		u.lower = []string{"../empty/0"}
	}
	if !s.ReadOnly {
		u.other = append(u.other, "upperdir=../diff", "workdir=../work")
	}
	if s.Volatile {
		u.other = append(u.other, "volatile")
	}
	return u
}

// makeFolders makes the folders that overlay has, too.
func (u union) makeFolders(ctx context.Context, s unionfs.Stack) error {
	if mounted, _ := alive(u.point); mounted {
		return nil
	}
	s.Volatile = false // the kernel's mark of it is not needed
	_, err := unionfs.Overlay{}.Prepare(ctx, s)
	return err
}

// mount runs the program, which returns when the mount is there and leaves a server behind.
func (u union) mount(ctx context.Context, program string) error {
	options := append([]string{"lowerdir=" + strings.Join(u.lower, ":")}, u.other...)
	command := exec.CommandContext(ctx, cmp.Or(program, "fuse-overlayfs"), "-o", strings.Join(options, ","), u.point)
	command.Dir = u.dir
	output, err := command.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("fuse-overlayfs: %w: install it, or use the driver vfs", err)
	}
	if err != nil {
		return fmt.Errorf("fuse-overlayfs: mount on %s: %w: %s", u.point, err, strings.TrimSpace(string(output)))
	}
	if mounted, err := alive(u.point); err != nil || !mounted {
		return fmt.Errorf("fuse-overlayfs: it ended well and mounted nothing on %s: %s", u.point, strings.TrimSpace(string(output)))
	}
	return nil
}

// alive says whether something is mounted on a folder. A mount whose server died (ENOTCONN) is taken away.
func alive(point string) (bool, error) {
	var stat unix.Statfs_t
	err := unix.Statfs(point, &stat)
	switch err {
	case nil:
		return stat.Type == unix.FUSE_SUPER_MAGIC, nil
	case unix.ENOENT:
		return false, nil
	case unix.ENOTCONN:
		return false, unmount(point)
	}
	return false, fmt.Errorf("statfs %s: %w", point, err)
}

// unmount takes the mounts on a folder away; the server ends when nobody uses the last one any more.
func unmount(point string) error {
	for {
		err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch err {
		case nil:
		case unix.EINVAL, unix.ENOENT: // no mount, or nothing at all
			return nil
		case unix.EPERM:
			if _, e := os.Lstat(point); os.IsNotExist(e) {
				return nil
			}
			return fmt.Errorf("unmount %s: %w", point, err)
		default:
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
}
