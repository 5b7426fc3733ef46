// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// removeAll removes a tree of somebody else's: also where its owner, who is not root, took himself the right to (overlay's work folder has
// mode 0), and one that is deeper than this process may have files open.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if errors.Is(err, fs.ErrPermission) {
		permit(path)
		err = os.RemoveAll(path)
	}
	if !errors.Is(err, unix.EMFILE) {
		return err
	}
	if err := flatten(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// permit makes directories such that their owner can remove what is in them.
func permit(path string) {
	filepath.WalkDir(path, func(name string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			os.Chmod(name, 0o700) // what can't be changed can't be removed either, which is said then
		}
		return nil
	})
}

// flatten moves all directories of a tree up into its top, one level after the other.
func flatten(path string) error {
	top, err := os.Open(path)
	if err != nil {
		return err
	}
	defer top.Close()
	names, err := top.Readdirnames(-1)
	if err != nil {
		return err
	}
	for count := 0; len(names) > 0; {
		name := names[len(names)-1]
		names = names[:len(names)-1]
		moved, err := hoist(top, name, &count)
		if err != nil {
			return err
		}
		names = append(names, moved...)
	}
	return nil
}

// hoist moves the directories in one of the top's into the top, under new names, which it returns.
func hoist(top *os.File, name string, count *int) (moved []string, err error) {
	fd, err := unix.Openat(int(top.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(top.Name(), name), Err: err}
	}
	dir := os.NewFile(uintptr(fd), filepath.Join(top.Name(), name))
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		up, err := moveUp(fd, entry.Name(), top, count)
		if err != nil {
			return nil, &os.PathError{Op: "rename", Path: filepath.Join(dir.Name(), entry.Name()), Err: err}
		}
		moved = append(moved, up)
	}
	return moved, nil
}

// moveUp moves a directory into the top, under a name that nothing has there.
func moveUp(from int, name string, top *os.File, count *int) (string, error) {
	for {
		*count++
		up := ".up" + strconv.Itoa(*count)
		err := unix.Renameat2(from, name, int(top.Fd()), up, unix.RENAME_NOREPLACE)
		if err != unix.EEXIST {
			return up, err
		}
	}
}
