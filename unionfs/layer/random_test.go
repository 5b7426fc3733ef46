// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// changer changes a tree at random. Most names clash, so that files replace others. What can't be done in a place isn't.
type changer struct {
	*rand.Rand
	root string
}

// path is one that may be there.
func (c changer) path() string {
	path := c.root
	for range 1 + c.IntN(3) {
		path = filepath.Join(path, string(rune('a'+c.IntN(5))))
	}
	return path
}

// change does something.
func (c changer) change() error {
	path, other := c.path(), c.path()
	switch c.IntN(18) {
	case 0, 1, 2:
		return c.write(path)
	case 3, 4, 5:
		return os.MkdirAll(path, 0o755)
	case 6:
		return os.Symlink(fmt.Sprint("to ", c.IntN(9)), path)
	case 7:
		return os.Link(path, other)
	case 8:
		return c.remove(path)
	case 9:
		return os.Rename(path, other)
	case 10:
		return unix.Fchmodat(unix.AT_FDCWD, path, uint32(c.IntN(0o10000)), unix.AT_SYMLINK_NOFOLLOW)
	case 11:
		return os.Lchown(path, c.IntN(3), c.IntN(3))
	case 12:
		return unix.Lsetxattr(path, fmt.Sprint("trusted.", c.IntN(2)), []byte{byte(c.IntN(2))}, 0)
	case 13:
		return unix.Lremovexattr(path, "trusted.0")
	case 14:
		return unix.Mkfifo(path, 0o600)
	case 15:
		return unix.Mknod(path, unix.S_IFCHR|0o600, 1+c.IntN(9))
	case 16:
		when := []unix.Timespec{{Sec: 1}, {Sec: int64(c.IntN(3)), Nsec: int64(c.IntN(3))}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, when, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err := c.remove(path); err != nil { // and another one in its place
		return err
	}
	return os.MkdirAll(path, 0o700)
}

// write makes or changes a file. It doesn't wait for the reader of a fifo.
func (c changer) write(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, bytes.Repeat([]byte{byte('a' + c.IntN(3))}, c.IntN(9)))
	return err
}

// remove removes a file if it is there: os.RemoveAll would open a fifo in place of the directory it should be in, and wait.
func (c changer) remove(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// changes does something many times.
func (c changer) changes(n int) {
	for range n {
		_ = c.change() // much can't be done; the tree is as good as any
	}
}

// layers mounts folders, the topmost first; above them, unless it is empty, one to be written.
func layers(t *testing.T, options, upper string, lowers ...string) string {
	t.Helper()
	at := t.TempDir()
	data := "lowerdir=" + strings.Join(lowers, ":") + options
	if upper != "" {
		data += ",upperdir=" + upper + ",workdir=" + t.TempDir()
	}
	if err := unix.Mount("overlay", at, "overlay", 0, data); err != nil {
		t.Fatalf("mount overlay with %s: %v", data, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	return at
}

// TestRandomLayers changes a tree at random in a mounted overlay, makes layers of the changes in both ways, and mounts these
// instead: the kernel must show the same tree.
func TestRandomLayers(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	for name, options := range map[string]string{"plain": "", "references": ",metacopy=on,redirect_dir=on"} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				c := changer{rand.New(rand.NewPCG(seed, 0)), t.TempDir()}
				c.changes(150)
				base, _ := unpack(t, pack(t, c.root, Options{}), Options{})
				if diff := cmp.Diff(manifest(t, c.root), manifest(t, base)); diff != "" {
					t.Fatalf("the base comes back as another: %s", diff)
				}
				upper := t.TempDir()
				merged := layers(t, options, upper, base)
				changer{c.Rand, merged}.changes(60)
				want := manifest(t, merged)
				packed, _ := unpack(t, pack(t, upper, Options{View: merged}), Options{})
				if diff := cmp.Diff(want, manifest(t, layers(t, "", "", packed, base))); diff != "" {
					t.Errorf("packed (-want +got): %s", diff)
				}
				var data bytes.Buffer
				must(t, Diff(t.Context(), &data, base, merged, Options{}))
				differing, _ := unpack(t, data.Bytes(), Options{})
				if diff := cmp.Diff(want, manifest(t, layers(t, "", "", differing, base))); diff != "" {
					t.Errorf("diff (-want +got): %s", diff)
				}
				if options == "" {
					sameChanges(t, base, upper, merged)
				}
			})
		}
	}
}

// sameChanges holds the changes that overlay wrote against those between the trees. Overlay also has files that were copied up and
// then not changed, and it doesn't list a file whose other name was, which then is a file of its own.
func sameChanges(t *testing.T, base, upper, merged string) {
	t.Helper()
	written, err := Changes(t.Context(), []string{base}, upper, Options{})
	must(t, err)
	between, err := Compare(t.Context(), base, merged, Options{})
	must(t, err)
	found := map[string]Kind{}
	for _, c := range written {
		found[c.Path] = c.Kind
	}
	for _, c := range between {
		var s unix.Stat_t
		if linked := unix.Lstat(base+c.Path, &s) == nil && s.Nlink > 1; found[c.Path] != c.Kind && !linked {
			t.Errorf("%v between the trees, but %v in the upper folder", c, found[c.Path])
		}
		delete(found, c.Path)
	}
	for path, kind := range found {
		if kind != Changed {
			t.Errorf("%v %s in the upper folder, but not between the trees", kind, path)
		}
	}
}
