// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// isErrno says whether an error is one of the kernel's.
func isErrno(err error, errno unix.Errno) bool { return errors.Is(err, errno) }

// command runs a program.
func command(t testing.TB, args ...string) {
	t.Helper()
	if output, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", strings.Join(args, " "), err, output)
	}
}

// testAgain prepares a stack a second time, also a volatile one: what was written stays, and the layers stay as they are.
func testAgain(t *testing.T, s Suite) {
	for _, volatile := range []bool{false, true} {
		t.Run(fmt.Sprintf("volatile=%v", volatile), func(t *testing.T) {
			w := newWorld(t, s)
			base := w.base()
			c := w.container(base, w.second(base))
			c.Volatile = volatile
			layers := Look(t, base.Path, true)
			for i := range 3 {
				w.within(c, func(root string) {
					w.checkSecond(root)
					for j := range i {
						if got, err := os.ReadFile(filepath.Join(root, fmt.Sprint("kept", j))); err != nil || string(got) != "kept" {
							t.Errorf("kept%d is %q, %v", j, got, err)
						}
					}
					if err := os.WriteFile(filepath.Join(root, fmt.Sprint("kept", i)), []byte("kept"), 0o644); err != nil {
						t.Error(err)
					}
					if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("changed"), 0o644); err != nil {
						t.Error(err)
					}
				})
			}
			w.equal("the layer", layers, Look(t, base.Path, true))
		})
	}
}

// testDeep stacks 120 layers, each of which changes, adds and deletes a file of the one before.
func testDeep(t *testing.T, s Suite) {
	const depth = 120
	w := newWorld(t, s)
	var layers []unionfs.Layer
	for i := range depth {
		headers := []tar.Header{
			{Name: "dir/", Typeflag: tar.TypeDir, Mode: int64(0o700 + i%8)},
			{Name: fmt.Sprintf("dir/file%d", i), Typeflag: tar.TypeReg, Mode: 0o644},
		}
		if i%2 == 1 {
			headers = append(headers, tar.Header{Name: fmt.Sprintf("dir/.wh.file%d", i-1), Typeflag: tar.TypeReg})
		}
		layers = append(layers, w.unpack(layers, w.archive(headers...)))
	}
	w.within(w.container(layers...), func(root string) {
		entries, err := os.ReadDir(filepath.Join(root, "dir"))
		if err != nil || len(entries) != depth/2 {
			t.Errorf("%d files, %v", len(entries), err)
		}
		if got, err := os.ReadFile(filepath.Join(root, "dir/file1")); err != nil || string(got) != "dir/file1" {
			t.Errorf("dir/file1 is %q, %v", got, err)
		}
		if info, err := os.Stat(filepath.Join(root, "dir")); err != nil || info.Mode().Perm() != 0o700+(depth-1)%8 {
			t.Errorf("dir is %v, %v", info, err)
		}
	})
}

// testViews checks that a view shows what the container sees, that what is written there is the container's, and that the view of the
// layers alone shows nothing of it.
func testViews(t *testing.T, s Suite) {
	w := newWorld(t, s)
	base := w.base()
	c := w.container(base, w.second(base))
	var image, written Snapshot
	w.within(c, func(root string) {
		image = Look(t, root, true)
		for _, o := range []Operation{{Verb: "unlink", Path: "etc/passwd"}, {Verb: "write", Path: "bin", To: "bin"}, {Verb: "mkdir", Path: "new"}} {
			if err := o.Do(root); err != nil {
				t.Error(err)
			}
		}
		written = Look(t, root, true)
	})
	w.viewed(c, func(root string) { w.equal("view", written, Look(t, root, true)) })
	alone := c
	alone.ReadOnly = true
	w.viewed(alone, func(root string) { w.equal("view of the layers", image, Look(t, root, true)) })
	w.viewed(c, func(root string) {
		if err := os.WriteFile(filepath.Join(root, "copied"), []byte("in"), 0o600); err != nil {
			t.Error(err)
		}
	})
	w.within(c, func(root string) {
		if got, err := os.ReadFile(filepath.Join(root, "copied")); string(got) != "in" {
			t.Errorf("what was written to the view is %q, %v", got, err)
		}
	})
}

// testRunning looks at a container of a driver that has written layers, as it is done while the container runs: with whiteouts, opaque folders
// and all. Nobody can write there, and the container's own mount stays as it is. The driver's changes are the same with and without a mount.
func testRunning(t *testing.T, s Suite) {
	layered, ok := s.Driver.(unionfs.Layered)
	if !ok {
		t.Skip("not of this one: what is written is in no layer")
	}
	w := newWorld(t, s)
	base := w.base()
	c := w.container(base, w.second(base))
	upper, ok := layered.Upper(c)
	if !ok {
		t.Skip("not of this one: what is written is no layer by itself")
	}
	running := c
	running.Layers, running.ReadOnly = append(slices.Clone(c.Layers), upper), true
	w.within(c, func(root string) {
		for _, o := range []Operation{
			{Verb: "unlink", Path: "etc/passwd"},
			{Verb: "append", Path: "bin", To: "more"},
			{Verb: "mkdir", Path: "new"},
			{Verb: "write", Path: "new/x", To: "x"},
			{Verb: "remove", Path: "etc/deep"},
			{Verb: "mkdir", Path: "etc/deep"},
			{Verb: "write", Path: "etc/deep/only", To: "x"},
			{Verb: "chmod", Path: "bin", N: 0o700},
		} {
			if err := o.Do(root); err != nil {
				t.Error(err)
			}
		}
		written := Look(t, root, false)
		w.viewed(running, func(view string) {
			w.equal("view", written, Look(t, view, false))
			if err := os.WriteFile(filepath.Join(view, "one"), nil, 0o644); !isErrno(err, unix.EROFS) {
				t.Errorf("write: %v", err)
			}
		})
		w.equal("the container's own mount", written, Look(t, root, false))
	})
	mounted := w.commit(c)
	if r, ok := s.Driver.(interface{ Rest(s unionfs.Stack) error }); ok {
		if err := r.Rest(c); err != nil {
			t.Error(err)
		}
	}
	again := w.commit(c)
	w.equal("the changes without the mount", Look(t, mounted[2].Path, false), Look(t, again[2].Path, false))
}

// testRemove checks that nothing is left of a container, prepared or half prepared or neither, and all of the layers.
func testRemove(t *testing.T, s Suite) {
	w := newWorld(t, s)
	base := w.base()
	layers := Look(t, base.Path, true)
	c := w.container(base)
	for _, make := range []func(){
		func() {},
		func() { w.prepare(c) },
		func() { w.within(c, func(root string) { os.RemoveAll(filepath.Join(root, "etc")) }) },
		func() {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			w.Driver.Prepare(ctx, c) // it may heed the end, or be done before it looks
		},
	} {
		make()
		if err := w.Driver.Remove(t.Context(), unionfs.Stack{Dir: c.Dir}); err != nil {
			t.Error(err)
		}
		w.lists(c.Dir)
	}
	w.equal("the layer", layers, Look(t, base.Path, true))
}

// testSupported checks that the driver finds itself supported where it is tested, and leaves nothing behind when it tries.
func testSupported(t *testing.T, s Suite) {
	driver, ok := s.Driver.(interface{ Supported(dir string) error })
	if !ok {
		t.Fatal("the driver can't tell where it is supported")
	}
	dir := s.Folder(t)
	before := Look(t, dir, false)
	if err := driver.Supported(dir); err != nil {
		t.Error(err)
	}
	(&world{T: t}).equal("the folder", before, Look(t, dir, false))
	sweepsTries(t, s, dir)
	if err := driver.Supported(filepath.Join(dir, "missing")); s.Driver.Name() != "vfs" && err == nil {
		t.Error("a folder that is not there is said to do")
	}
}

// sweepsTries checks that what was left by a process that was killed while it tried is removed, and what another one tries now is not.
func sweepsTries(t *testing.T, s Suite, dir string) {
	t.Helper()
	if s.Driver.Name() == "vfs" {
		return // it tries nothing
	}
	left, now := filepath.Join(dir, "."+s.Driver.Name()+"-left"), filepath.Join(dir, "."+s.Driver.Name()+"-now")
	for _, path := range []string{left, now} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Driver.Prepare(t.Context(), unionfs.Stack{Dir: left}); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(now)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := s.Driver.(interface{ Supported(dir string) error }).Supported(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed process left is there: %v", err)
	}
	if err := os.Remove(now); err != nil {
		t.Errorf("what another process tries is gone: %v", err)
	}
}
