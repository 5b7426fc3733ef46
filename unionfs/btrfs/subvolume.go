// SPDX-License-Identifier: Apache-2.0

package btrfs

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Requests of ioctl(2) (include/uapi/linux/btrfs.h): _IOW(0x94, number, struct btrfs_ioctl_vol_args).
const (
	snapCreate   = 0x50009401
	subvolCreate = 0x5000940e
	snapDestroy  = 0x5000940f
)

// The fields of struct btrfs_ioctl_vol_args: "__s64 fd; char name[BTRFS_PATH_NAME_MAX + 1]".
const (
	argsSize = 4096
	argsName = 8
	maxName  = 255 // of one file; the field has room for 4087 bytes
)

// firstInode is the inode number of a subvolume's root (BTRFS_FIRST_FREE_OBJECTID).
const firstInode = 256

// create makes an empty subvolume.
func create(path string) error {
	if err := request(path, subvolCreate, -1); err != nil {
		return fmt.Errorf("make the subvolume %s: %w", path, err)
	}
	return nil
}

// snapshot makes a writable snapshot of a subvolume.
func snapshot(of, path string) error {
	source, err := os.Open(of)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := request(path, snapCreate, int(source.Fd())); err != nil {
		return fmt.Errorf("make the snapshot %s of %s: %w", path, of, err)
	}
	return nil
}

// remove removes a subvolume. One that is not there is no error.
func remove(path string) error {
	if _, err := os.Lstat(path); os.IsNotExist(err) {
		return nil
	}
	if isSubvolume(path) {
		err := request(path, snapDestroy, 0)
		if err == nil {
			return nil
		}
		if err != unix.EPERM && err != unix.ENOTEMPTY { // it holds a subvolume that somebody made in it, or only root may
			return fmt.Errorf("remove the subvolume %s: %w", path, err)
		}
	}
	return os.RemoveAll(path)
}

// request asks the folder of a subvolume's name for something.
func request(path string, number uintptr, fd int) error {
	name := filepath.Base(path)
	if len(name) > maxName {
		return unix.ENAMETOOLONG
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	args := make([]byte, argsSize)
	binary.NativeEndian.PutUint64(args, uint64(fd))
	copy(args[argsName:], name)
	return kernel.Ioctl(int(folder.Fd()), number, args)
}

// isSubvolume says whether a path is the root of a subvolume.
func isSubvolume(path string) bool {
	var stat unix.Stat_t
	return onBtrfs(path) == nil && unix.Lstat(path, &stat) == nil && stat.Ino == firstInode && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// onBtrfs says why a folder is not on btrfs.
func onBtrfs(dir string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if uint32(stat.Type) != unix.BTRFS_SUPER_MAGIC {
		return fmt.Errorf("%s is not on btrfs", dir)
	}
	return nil
}
