// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// mountOverlay mounts the kernel's overlay, attached nowhere: it goes when its descriptor is closed.
func mountOverlay(lower []string, upper, work string, user bool) (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	var down []string // the uppermost first, by short names: a value may have 255 bytes
	for _, name := range slices.Backward(lower) {
		folder, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer folder.Close()
		down = append(down, self(folder))
	}
	options := [][2]string{
		{"lowerdir", strings.Join(down, ":")},
		{"upperdir", upper},
		{"workdir", work},
		{"redirect_dir", "nofollow"},
		{"metacopy", "off"},
		{"index", "off"},
	}
	for _, option := range options {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return nil, fmt.Errorf("%s: %w", option[0], err)
		}
	}
	if user {
		err = unix.FsconfigSetFlag(fs, "userxattr")
	}
	if err := errors.Join(err, unix.FsconfigCreate(fs)); err != nil {
		return nil, fmt.Errorf("make the overlay: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fsmount: %w", err)
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}

// bench is the folders of one comparison.
type bench struct {
	list
	folder string
	lower  []string
}

// build makes the layers of a list in a folder.
func build(l list, folder string) (*bench, error) {
	b := &bench{list: l, folder: folder}
	for i, operations := range l.lower {
		name, err := b.dir(fmt.Sprintf("layer%d", i+1))
		if err != nil {
			return nil, err
		}
		layer, err := openFolder(name)
		if err != nil {
			return nil, err
		}
		for _, o := range operations {
			b.lay(layer, o)
		}
		layer.root.Close()
		if err := age(name); err != nil {
			return nil, err
		}
		b.lower = append(b.lower, name)
	}
	return b, nil
}

// lay does an operation on a layer, after the folders that it needs. That it can't be done is fine: then the layer has less.
func (b *bench) lay(layer theirs, o operation) {
	parts := strings.Split(o.name, "/")
	for i := 1; i < len(parts); i++ {
		layer.do(operation{kind: "mkdir", name: strings.Join(parts[:i], "/"), number: 0o755})
	}
	switch o.kind {
	case "opaque":
		layer.do(operation{kind: "mkdir", name: o.name, number: 0o755})
		o.other = map[bool]string{false: "trusted.overlay.opaque", true: "user.overlay.opaque"}[b.user]
	case "attribute":
		layer.do(operation{kind: "write", name: o.name, number: 0o644})
	case "setuid":
		layer.do(operation{kind: "write", name: o.name, number: 0o4755})
		o = operation{kind: "chown", name: o.name, number: 5}
		layer.do(o)
		o = operation{kind: "chmod", name: o.name, number: 0o6755}
	case "mkdir":
		o.number |= 0o700 // for those who are not root
	case "hole":
		o.number = 0o644
	case "acl":
		layer.do(operation{kind: "mkdir", name: o.name, number: 0o2755})
	}
	layer.do(o)
}

// age makes everything in a folder old: what has not changed has an old time.
func age(folder string) error {
	n := 0
	return filepath.WalkDir(folder, func(name string, _ os.DirEntry, err error) error {
		n++
		at, _ := unix.TimeToTimespec(stamp(n))
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	})
}

// dir makes a folder of a name and returns its path.
func (b *bench) dir(name string) (string, error) {
	name = filepath.Join(b.folder, name)
	return name, os.MkdirAll(name, 0o755)
}

// stack is a union of ours and an overlay of the kernel's over the same layers.
type stack struct {
	ours   ours
	theirs theirs
	uppers [2]string
}

// open puts our union on one upper folder and the kernel's overlay on another, with new work folders.
func (b *bench) open(round, upper1, upper2 string) (*stack, error) {
	var names []string
	for _, name := range []string{upper1, "work1-" + round, upper2, "work2-" + round} {
		full, err := b.dir(name)
		if err != nil {
			return nil, err
		}
		names = append(names, full)
	}
	u, err := New(Options{Lower: b.lower, Upper: names[0], Work: names[1], User: b.user})
	if err != nil {
		return nil, err
	}
	root, err := mountOverlay(b.lower, names[2], names[3], b.user)
	if err != nil {
		u.Close()
		return nil, err
	}
	return &stack{ours{u}, theirs{root}, [2]string{names[0], names[2]}}, nil
}

// close ends both.
func (s *stack) close() { s.ours.Close(); s.theirs.root.Close() }

// number is the error number in an error.
func number(err error) syscall.Errno {
	var errno syscall.Errno
	errors.As(err, &errno)
	return errno
}

// do does operations on both, and says where they differ.
func (s *stack) do(operations []operation) string {
	if difference := s.compare("before the operations"); difference != "" {
		return difference
	}
	for _, o := range operations {
		us, them := s.ours.do(o), s.theirs.do(o)
		if number(us) != number(them) || (us == nil) != (them == nil) {
			return fmt.Sprintf("%s: the union says %v, the kernel %v", o, us, them)
		}
		if number(us) == unix.ENOTEMPTY && o.kind == "rename" {
			if err := s.forgive(o.name); err != nil {
				return err.Error()
			}
		}
	}
	return s.compare("after the operations")
}

// forgive makes up for what the kernel does to a folder that it then can't rename, as the target is not empty: it is opaque. That changes
// nothing to see, and our union leaves it.
func (s *stack) forgive(name string) error {
	name = s.ours.real(name)
	for _, attribute := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		value := make([]byte, 1)
		if n, err := unix.Lgetxattr(filepath.Join(s.uppers[1], name), attribute, value); err == nil && n == 1 {
			return unix.Lsetxattr(filepath.Join(s.uppers[0], name), attribute, value, 0)
		}
	}
	return nil
}

// real is the name that a name leads to, free of symbolic links.
func (u ours) real(name string) string {
	w := u.walk()
	defer w.end()
	if n, err := w.resolve(name, false); err == nil {
		return n.path()
	}
	return name
}

// compare compares what both show.
func (s *stack) compare(when string) string {
	return difference("the merged trees "+when, s.ours, look(fmt.Sprintf("/proc/self/fd/%d", s.theirs.root.Fd())))
}

// difference compares two trees.
func difference(what string, us, them view) string {
	a, err1 := describeTree(us)
	b, err2 := describeTree(them)
	if err := errors.Join(err1, err2); err != nil {
		return what + ": " + err.Error()
	}
	if diff := cmp.Diff(a, b); diff != "" {
		return what + " (- the union, + the kernel):\n" + diff
	}
	return ""
}

// run does one list and returns what differs. The operations are done in two rounds: in the second our union has the upper folder that
// the kernel has written, and the kernel ours.
func run(l list, folder string) string {
	b, err := build(l, folder)
	if err != nil {
		return err.Error()
	}
	before, err := b.layers()
	if err != nil {
		return err.Error()
	}
	half := len(l.operations) / 2
	for i, operations := range [][]operation{l.operations[:half], l.operations[half:]} {
		uppers := []string{"upper1", "upper2"}
		s, err := b.open(fmt.Sprint(i), uppers[i], uppers[1-i])
		if err != nil {
			return err.Error()
		}
		found := s.do(operations)
		s.close()
		if found == "" {
			found = difference("the upper folders", look(filepath.Join(folder, uppers[i])), look(filepath.Join(folder, uppers[1-i])))
		}
		if found == "" {
			found = b.rest(fmt.Sprint("work1-", i))
		}
		if found != "" {
			return fmt.Sprintf("round %d: %s", i+1, found)
		}
	}
	after, err := b.layers()
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		return fmt.Sprintf("the layers have changed: %v\n%s", err, diff)
	}
	return ""
}

// rest says what is left in a work folder.
func (b *bench) rest(work string) string {
	names, err := os.ReadDir(filepath.Join(b.folder, work))
	if err != nil || len(names) > 0 {
		return fmt.Sprintf("%s: left %v, error %v", work, names, err)
	}
	return ""
}

// layers describes the layers.
func (b *bench) layers() ([]snapshot, error) {
	var all []snapshot
	for _, name := range b.lower {
		s, err := describeTree(look(name))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// shrink leaves out of a failing list whatever it fails without.
func shrink(l list, fails func(list) bool) list {
	for again := true; again; {
		again = false
		for i := len(l.operations) - 1; i >= 0; i-- {
			less := l
			less.operations = slices.Delete(slices.Clone(l.operations), i, i+1)
			if fails(less) {
				l, again = less, true
			}
		}
		for layer := range l.lower {
			for i := len(l.lower[layer]) - 1; i >= 0; i-- {
				less := l
				less.lower = slices.Clone(l.lower)
				less.lower[layer] = slices.Delete(slices.Clone(l.lower[layer]), i, i+1)
				if fails(less) {
					l, again = less, true
				}
			}
		}
	}
	return l
}

// scratch mounts a tmpfs for the test, which needs no disk and no time.
func scratch(t *testing.T) func(l list) string {
	t.Helper()
	folder := t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(folder, 0) })
	user := unix.Setxattr(folder, "user.test", nil, 0) == nil // a tmpfs can since Linux 6.6
	return func(l list) string {
		l.user = l.user && user
		dir, err := os.MkdirTemp(folder, "list")
		if err != nil {
			return err.Error()
		}
		defer os.RemoveAll(dir)
		return run(l, dir)
	}
}

// TestKernel does random operations on our union and on the kernel's overlay. All that can be seen is the same.
func TestKernel(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay", "kernel:openat2", "kernel:fsopen")
	check := scratch(t)
	lists := uint64(250)
	if testing.Short() {
		lists = 40
	}
	for seed := range lists {
		l := decode(random(seed))
		if found := check(l); found != "" {
			l = shrink(l, func(l list) bool { return check(l) != "" })
			t.Fatalf("seed %d: %s\n%s", seed, check(l), l)
		}
	}
}
