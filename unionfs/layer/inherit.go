// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Inherit gives the directories that Unpack made without an entry of their own (Result.Implicit) the attributes that they have in
// the layers below, the lowest first: otherwise overlay would show the defaults.
func Inherit(dir string, lowers, implicit []string, o Options) (err error) {
	if len(implicit) == 0 {
		return nil
	}
	t, err := openTree(dir)
	if err != nil {
		return fmt.Errorf("give directories the attributes of lower layers: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	below, err := openView(lowers, o)
	if err != nil {
		return fmt.Errorf("give directories the attributes of lower layers: %w", err)
	}
	defer func() { err = errors.Join(err, below.Close()) }()
	u := &unpacker{o: o, tree: t}
	for i := len(implicit) - 1; i >= 0; i-- {
		if err := u.inherit(below, implicit[i]); err != nil {
			return fmt.Errorf("directory %s: take attributes from the layers below: %w", shown(implicit[i]), err)
		}
	}
	return nil
}

// inherit copies the attributes of one directory.
func (u *unpacker) inherit(below *view, path string) error {
	from, ok, err := below.find(path)
	if err != nil || !ok || !from.isDir() {
		return err
	}
	a := attributes{
		uid: from.Uid, gid: from.Gid, mode: from.Mode & 0o7777,
		times: [2]unix.Timespec{from.Atim, from.Mtim}, xattrs: from.ours(),
	}
	fd, err := u.tree.open(path, unix.O_RDONLY|unix.O_DIRECTORY, false)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	u.name = path
	return u.applyDirectory(fd, &a)
}
