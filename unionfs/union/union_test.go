// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// folders makes folders with files, one for each map, and returns their names. A name that ends in a slash is a folder, a content that starts
// with "-> " is that of a symbolic link, and "whiteout" is one.
func folders(t *testing.T, layers ...map[string]string) []string {
	t.Helper()
	var names []string
	for _, files := range layers {
		folder := t.TempDir()
		for name, content := range files {
			if err := lay(filepath.Join(folder, name), strings.HasSuffix(name, "/"), content); err != nil {
				t.Fatal(err)
			}
		}
		names = append(names, folder)
	}
	return names
}

// lay makes one file.
func lay(name string, folder bool, content string) error {
	if folder {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if target, link := strings.CutPrefix(content, "-> "); link {
		return os.Symlink(target, name)
	}
	if content == "whiteout" {
		return unix.Mknod(name, unix.S_IFCHR, 0)
	}
	return os.WriteFile(name, []byte(content), 0o644)
}

// open makes a writable union over layers, with attributes that need no rights.
func open(t *testing.T, lower ...string) (u *Union, upper, work string) {
	t.Helper()
	upper, work = t.TempDir(), t.TempDir()
	u, err := New(Options{Lower: lower, Upper: upper, Work: work, User: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u, upper, work
}

// TestFS has the standard library's test of file systems look at a union.
func TestFS(t *testing.T) {
	u, _, _ := open(t, folders(t, map[string]string{"gone": "1", "a/b": "1", "a/c": "1"}, map[string]string{"gone": "whiteout", "a/b": "22", "d/": "", "l": "-> a/b"})...)
	if err := u.Mkdir("new", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(u, "a", "a/b", "a/c", "d", "l", "new"); err != nil {
		t.Error(err)
	}
	if content, err := fs.ReadFile(u, "l"); err != nil || string(content) != "22" {
		t.Errorf("the link leads to %q, error %v", content, err)
	}
}

// TestReplacedFolder removes a folder of a layer and makes it again: it is empty, also for the next union.
func TestReplacedFolder(t *testing.T) {
	lower := folders(t, map[string]string{"a/b": "1", "d/c": "1", "d/l": "-> /d/c"})
	u, upper, work := open(t, lower...)
	if err := errors.Join(u.Unlink("a/b"), u.Rmdir("a"), u.Mkdir("a", 0o755)); err != nil {
		t.Fatal(err)
	}
	u.Close()
	u, err := New(Options{Lower: lower, Upper: upper, Work: work, User: true})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if entries, err := u.ReadDir("a"); err != nil || len(entries) > 0 {
		t.Errorf("it has %v, error %v", entries, err)
	}
	if content, err := fs.ReadFile(u, "d/l"); err != nil || string(content) != "1" {
		t.Errorf("the link from the root leads to %q, error %v", content, err)
	}
}

// TestNothingLeadsOut has layers with links to where nobody must get: a secret beside the layers.
func TestNothingLeadsOut(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 30)
	u, _, _ := open(t, folders(t, map[string]string{
		"absolute": "-> " + secret, "relative": "-> " + up + secret, "folder": "-> " + filepath.Dir(secret), "upward": "-> " + up, "root": "-> /proc/self/root",
	})...)
	for _, name := range []string{"absolute", "relative", "folder/secret", "upward" + secret, "root" + secret} {
		if content, err := fs.ReadFile(u, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %s: %q, error %v", name, content, err)
		}
		if err := u.Chmod(name, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("chmod %s: %v", name, err)
		}
	}
	file, err := u.OpenFile("absolute", unix.O_WRONLY|unix.O_CREAT, 0o644)
	if !errors.Is(err, fs.ErrNotExist) { // the folder of the secret is not in the union
		file.Close()
		t.Errorf("create through a link: %v", err)
	}
	if err := u.Mkdir("folder/new", 0o755); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("mkdir through a link: %v", err)
	}
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the secret has changed: %v, error %v", info, err)
	}
}

// TestNames refuses names that io/fs does not have.
func TestNames(t *testing.T) {
	u, _, _ := open(t, folders(t, map[string]string{"a": ""})...)
	for _, name := range []string{"", "/", "/a", "a/", "..", "../a", "a/../b", "a//b", "./a"} {
		if _, err := u.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
		if err := u.Mkdir(name, 0o755); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("mkdir %q: %v", name, err)
		}
		if err := u.Rename("a", name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("rename a %q: %v", name, err)
		}
		if err := u.Link("a", name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("link a %q: %v", name, err)
		}
	}
}

// TestDevicesStayShut looks at devices and pipes without opening them: a pipe would wait for ever.
func TestDevicesStayShut(t *testing.T) {
	u, _, _ := open(t, folders(t, nil)...)
	if err := u.Mknod("pipe", unix.S_IFIFO|0o644, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Open("pipe"); !errors.Is(err, unix.ENXIO) {
		t.Errorf("open: %v", err)
	}
	if err := u.Mknod("whiteout", unix.S_IFCHR, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("make a whiteout: %v", err)
	}
}

// TestReadOnly has a union without an upper folder.
func TestReadOnly(t *testing.T) {
	lower := folders(t, map[string]string{"a": "1", "b": "1"}, map[string]string{"a": "22"})
	u, err := New(Options{Lower: lower, User: true})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if content, err := fs.ReadFile(u, "a"); err != nil || string(content) != "22" {
		t.Errorf("a is %q, error %v", content, err)
	}
	for name, err := range map[string]error{
		"mkdir": u.Mkdir("new", 0o755), "unlink": u.Unlink("a"), "rename": u.Rename("a", "c"), "chmod": u.Chmod("a", 0o600), "truncate": u.Truncate("b", 0),
		"open": func() error { _, err := u.OpenFile("b", unix.O_RDWR, 0); return err }(),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCopyUpKeeps compares a file before and after a copy-up: times to the nanosecond, and holes.
func TestCopyUpKeeps(t *testing.T) {
	lower := folders(t, map[string]string{"a/b/file": "start"})
	name := filepath.Join(lower[0], "a/b/file")
	layer, err := openFolder(lower[0])
	if err != nil {
		t.Fatal(err)
	}
	defer layer.root.Close()
	if err := errors.Join(layer.do(operation{kind: "hole", name: "a/b/file"}), age(lower[0])); err != nil {
		t.Fatal(err)
	}
	before := stat(t, name)
	u, upper, _ := open(t, lower...)
	if err := u.Chmod("a/b/file", 0o640); err != nil {
		t.Fatal(err)
	}
	after := stat(t, filepath.Join(upper, "a/b/file"))
	if after.Atim != before.Atim || after.Mtim != before.Mtim {
		t.Errorf("times %v and %v, were %v and %v", after.Atim, after.Mtim, before.Atim, before.Mtim)
	}
	if after.Size != before.Size || after.Blocks > before.Blocks || after.Mode&0o777 != 0o640 {
		t.Errorf("%d bytes, %d blocks, mode %o; were %d and %d", after.Size, after.Blocks, after.Mode, before.Size, before.Blocks)
	}
	if was, is := stat(t, filepath.Join(lower[0], "a/b")), stat(t, filepath.Join(upper, "a/b")); was.Mtim != is.Mtim {
		t.Errorf("the folder's time is %v, was %v", is.Mtim, was.Mtim)
	}
}

// stat is lstat(2).
func stat(t *testing.T, name string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}

// TestOpenFileStays reads on in a file of a layer that is copied up and changed meanwhile: whoever had it open has the old one.
func TestOpenFileStays(t *testing.T) {
	u, _, _ := open(t, folders(t, map[string]string{"a": "old"})...)
	file, err := u.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := u.Truncate("a", 0); err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(file); err != nil || string(content) != "old" {
		t.Errorf("%q, error %v", content, err)
	}
}

// TestRefused makes unions that can't be.
func TestRefused(t *testing.T) {
	lower, upper, work := t.TempDir(), t.TempDir(), t.TempDir()
	for name, o := range map[string]Options{
		"nothing":             {},
		"no such layer":       {Lower: []string{lower + "/none"}},
		"no work folder":      {Lower: []string{lower}, Upper: upper},
		"no such work folder": {Lower: []string{lower}, Upper: upper, Work: work + "/none"},
		"upper is a layer":    {Lower: []string{lower, upper}, Upper: upper, Work: work},
	} {
		if u, err := New(o); err == nil {
			u.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// TestElsewhere refuses what a layer only has a pointer to.
func TestElsewhere(t *testing.T) {
	lower := folders(t, map[string]string{"folder/": "", "file": "", "good": "good"})
	for name, attribute := range map[string]string{"folder": "redirect", "file": "metacopy"} {
		if err := unix.Setxattr(filepath.Join(lower[0], name), "user.overlay."+attribute, nil, 0); err != nil {
			t.Skip("needs filesystem: user.* attributes in the temporary folder:", err)
		}
	}
	u, _, _ := open(t, lower...)
	for name, attribute := range map[string]string{"folder": "redirect", "file": "metacopy"} {
		if _, err := u.Stat(name); err == nil || !strings.Contains(err.Error(), "user.overlay."+attribute) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if content, err := fs.ReadFile(u, "good"); err != nil || string(content) != "good" {
		t.Errorf("%q, error %v", content, err)
	}
}

// TestOneWriter opens a second union on the same work folder.
func TestOneWriter(t *testing.T) {
	u, upper, work := open(t)
	if second, err := New(Options{Upper: upper, Work: work}); !errors.Is(err, unix.EWOULDBLOCK) {
		second.Close()
		t.Errorf("the second: %v", err)
	}
	u.Close()
	third, err := New(Options{Upper: upper, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
}

// TestFullDisk copies up what does not fit: the error says so, and nothing has changed.
func TestFullDisk(t *testing.T) {
	witness.Need(t, "root")
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, 0)
	upper, work := small+"/upper", small+"/work"
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		t.Fatal(err)
	}
	u, err := New(Options{Lower: folders(t, map[string]string{"a/large": strings.Repeat("x", 2<<20)}), Upper: upper, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := u.Chmod("a/large", 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if info, err := u.Stat("a/large"); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file is %v, error %v", info, err)
	}
	for _, folder := range []string{upper + "/a", work} {
		if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
			t.Errorf("%s has %v, error %v", folder, entries, err)
		}
	}
}

// TestTrace looks at what is told of an operation.
func TestTrace(t *testing.T) {
	var lines []string
	u, err := New(Options{Lower: folders(t, map[string]string{"a/b": ""}), Upper: t.TempDir(), Work: t.TempDir(), User: true, Trace: func(line string) { lines = append(lines, strings.TrimSpace(line)) }})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := u.Unlink("a/b"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"look up a: layer 1 has it as a folder", "look up a/b: layer 1 has it",
		"copy up a from layer 1", "rename it from the work folder to upper a", "make a whiteout for a/b",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

// TestLayers compares what our union and the kernel's overlay show of layers that random lists don't make.
func TestLayers(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay", "kernel:fsopen")
	set := func(attribute, value string) func(folder string) error {
		return func(folder string) error {
			return unix.Setxattr(folder, "trusted.overlay."+attribute, []byte(value), 0)
		}
	}
	for name, c := range map[string]struct {
		low, high map[string]string
		mark      map[string]func(string) error // of the higher layer
	}{
		"an opaque root":                {map[string]string{"a": "1"}, map[string]string{"b": "2"}, map[string]func(string) error{".": set("opaque", "y")}},
		"a whiteout in one layer":       {map[string]string{"a": "1"}, map[string]string{"d/a": "whiteout", "d/b": "2"}, nil},
		"a folder below a file":         {map[string]string{"a/b": "1"}, map[string]string{"a": "2"}, nil},
		"a file below a folder":         {map[string]string{"a": "1"}, map[string]string{"a/b": "2"}, nil},
		"a whiteout by attribute":       {map[string]string{"d/a": "1", "d/b": "1"}, map[string]string{"d/a": ""}, map[string]func(string) error{"d": set("opaque", "x"), "d/a": set("whiteout", "")}},
		"the attribute without the x":   {map[string]string{"d/a": "1"}, map[string]string{"d/a": ""}, map[string]func(string) error{"d/a": set("whiteout", "")}},
		"the attribute on a full file":  {map[string]string{"d/a": "1"}, map[string]string{"d/a": "22"}, map[string]func(string) error{"d": set("opaque", "x"), "d/a": set("whiteout", "")}},
		"an attribute of another union": {nil, map[string]string{"d/a": "2"}, map[string]func(string) error{"d": set("overlay.opaque", "y"), "d/a": set("overlay.whiteout", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			lower := folders(t, c.low, c.high)
			for name, mark := range c.mark {
				if err := mark(filepath.Join(lower[1], name)); err != nil {
					t.Fatal(err)
				}
			}
			b := &bench{folder: t.TempDir(), lower: lower}
			s, err := b.open("0", "upper1", "upper2")
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if strings.Contains(name, "attribute") && !nests(s) {
				t.Skip("needs filesystem:overlay of Linux 6.7, which knows whiteouts by attribute")
			}
			if found := s.compare("of the layers"); found != "" {
				t.Error(found)
			}
		})
	}
}

// nests tells whether the kernel's overlay can be a layer of another: it lets its own attributes be set then, under a name that is another
// in the layer. This tries and undoes it.
func nests(s *stack) bool {
	const attribute = "trusted.overlay.test"
	err := s.theirs.with(".", 0, func(_ *os.File, self string) error {
		return errors.Join(unix.Setxattr(self, attribute, nil, 0), unix.Removexattr(self, attribute))
	})
	return err == nil
}

// TestOverlayInOverlay sets attributes that look like the union's own through the union, and through the kernel.
func TestOverlayInOverlay(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay", "kernel:fsopen")
	b := &bench{folder: t.TempDir(), lower: folders(t, map[string]string{"a/b": "1"})}
	s, err := b.open("0", "upper1", "upper2")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if !nests(s) {
		t.Skip("needs filesystem:overlay of Linux 6.7, in which an overlay can be")
	}
	for _, tree := range []tree{s.ours, s.theirs} {
		if err := tree.do(operation{kind: "attribute", name: "a", other: "trusted.overlay.opaque", number: 'y'}); err != nil {
			t.Fatal(err)
		}
	}
	if found := s.compare("with an attribute"); found != "" {
		t.Error(found)
	}
	if found := difference("the upper folders", look(s.uppers[0]), look(s.uppers[1])); found != "" {
		t.Error(found)
	}
	if _, err := s.ours.Stat("a/b"); err != nil {
		t.Errorf("the folder has become opaque: %v", err)
	}
}

// Example builds a union of two layers and changes it. The layers stay as they are.
func Example() {
	base, err := os.MkdirTemp("", "union")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(base)
	for _, name := range []string{"layer/etc", "upper", "work"} {
		os.MkdirAll(filepath.Join(base, name), 0o755)
	}
	os.WriteFile(base+"/layer/etc/hosts", []byte("127.0.0.1 localhost\n"), 0o644)
	u, err := New(Options{Lower: []string{base + "/layer"}, Upper: base + "/upper", Work: base + "/work", User: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer u.Close()
	fmt.Println(u.Unlink("etc/hosts"))
	_, err = u.Stat("etc/hosts")
	fmt.Println(err)
	info, err := os.Stat(base + "/upper/etc/hosts")
	fmt.Println(info.Mode(), err)
	// Output:
	// <nil>
	// stat etc/hosts: no such file or directory
	// Dc--------- <nil>
}
