// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// flatten makes a plain folder of what a union shows.
func flatten(u ours, folder string) error {
	type late struct {
		name string
		info fs.FileInfo
	}
	var all []late
	err := fs.WalkDir(u, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		all = append(all, late{name, info})
		return errors.Join(err, imitate(u, name, info, filepath.Join(folder, name)))
	})
	for _, each := range slices.Backward(all) { // what is made in a folder changes its time, and inherits its list
		stat := each.info.Sys().(*syscall.Stat_t)
		err = errors.Join(err, dress(u, each.name, stat, filepath.Join(folder, each.name)))
		err = errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(folder, each.name), []unix.Timespec{unix.Timespec(stat.Atim), unix.Timespec(stat.Mtim)}, unix.AT_SYMLINK_NOFOLLOW))
	}
	return err
}

// imitate makes one thing like that of a union.
func imitate(u ours, name string, info fs.FileInfo, target string) error {
	stat := info.Sys().(*syscall.Stat_t)
	var err error
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err = os.Mkdir(target, 0o700); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case unix.S_IFLNK:
		link, _ := u.ReadLink(name)
		return os.Symlink(link, target)
	case unix.S_IFREG:
		var content []byte
		if content, err = fs.ReadFile(u, name); err == nil {
			err = os.WriteFile(target, content, 0o600)
		}
	default:
		err = unix.Mknod(target, stat.Mode, int(stat.Rdev))
	}
	return err
}

// dress gives it owner, mode and attributes.
func dress(u ours, name string, stat *syscall.Stat_t, target string) error {
	err := os.Lchown(target, int(stat.Uid), int(stat.Gid))
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return err
	}
	err = errors.Join(err, unix.Chmod(target, stat.Mode&0o7777))
	attributes, list := u.attributes(name)
	for attribute, value := range attributes {
		err = errors.Join(err, unix.Setxattr(target, attribute, []byte(value), 0))
	}
	return errors.Join(err, list)
}

// runPlain does a list on a union of ours and on a plain folder with the same content. Users can't tell the two apart, but for EXDEV. It needs
// no rights.
func runPlain(l list, folder string) string {
	l.user = true
	b, err := build(l, folder)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, name := range []string{"upper", "work", "plain"} {
		name, err := b.dir(name)
		if err != nil {
			return err.Error()
		}
		names = append(names, name)
	}
	u, err := New(Options{Lower: b.lower, Upper: names[0], Work: names[1], User: true})
	if err != nil {
		return err.Error()
	}
	defer u.Close()
	if err := flatten(ours{u}, names[2]); err != nil {
		return "flatten: " + err.Error()
	}
	plain, err := openFolder(names[2])
	if err != nil {
		return err.Error()
	}
	defer plain.root.Close()
	for _, o := range l.operations {
		us := ours{u}.do(o)
		if errors.Is(us, unix.EXDEV) {
			continue
		}
		if them := plain.do(o); number(us) != number(them) || (us == nil) != (them == nil) {
			return fmt.Sprintf("%s: the union says %v, the plain folder %v", o, us, them)
		}
	}
	return difference("the union and the plain folder", ours{u}, look("/proc/self/fd/"+fmt.Sprint(plain.root.Fd())))
}

// forPlain leaves hard links out of the layers: a copy-up breaks them, unlike in a plain folder. What users may not do at all is left out for
// them.
func forPlain(l list) list {
	l.operations = slices.DeleteFunc(l.operations, func(o operation) bool {
		return os.Geteuid() != 0 && strings.HasPrefix(o.other, "trusted.")
	})
	for i, o := range l.operations {
		if os.Geteuid() != 0 && (o.kind == "mkdir" || o.kind == "chmod") {
			l.operations[i].number |= 0o700
		}
	}
	for i := range l.lower {
		l.lower[i] = slices.DeleteFunc(l.lower[i], func(o operation) bool { return o.kind == "link" })
	}
	return l
}

// TestPlain does random operations on a union and on a plain folder.
func TestPlain(t *testing.T) {
	witness.Need(t, "kernel:openat2")
	check := func(l list) string { return runPlain(l, t.TempDir()) }
	lists := uint64(60)
	if testing.Short() {
		lists = 10
	}
	for seed := range lists {
		l := forPlain(decode(random(seed)))
		if found := check(l); found != "" {
			l = shrink(l, func(l list) bool { return check(l) != "" })
			t.Fatalf("seed %d: %s\n%s", seed, check(l), l)
		}
	}
}

// random are the bytes of a list.
func random(seed uint64) []byte {
	data := make([]byte, 260)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// FuzzOperations makes lists of any bytes: on a plain folder and, as root, on the kernel's overlay they do the same as on a union. With
// TMPDIR=/dev/shm it need not wait for a disk.
func FuzzOperations(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(random(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if found := runPlain(forPlain(decode(data)), t.TempDir()); found != "" {
			t.Errorf("%s\n%s", found, decode(data))
		}
		if os.Geteuid() != 0 {
			return
		}
		if found := run(decode(data), t.TempDir()); found != "" {
			t.Errorf("%s\n%s", found, decode(data))
		}
	})
}
