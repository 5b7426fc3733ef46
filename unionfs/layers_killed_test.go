// SPDX-License-Identifier: Apache-2.0

package unionfs_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/unionfs"
)

// folderVariable names the folder of layers on which a process of TestKilled works.
const folderVariable = "STAVE_UNIONFS_FOLDER"

// large is an image whose layers take some time.
func large(t testing.TB) image {
	t.Helper()
	var archives [][]byte
	for n := range 4 {
		var names []string
		for file := range 120 {
			names = append(names, fmt.Sprintf("dir%d/%d-%d", file%7, n, file))
		}
		archives = append(archives, pack(t, append(names, "dir0/.wh.0-0")...))
	}
	return newImage(archives...)
}

// whole checks that all layers are there and nothing else is.
func (i image) whole(t *testing.T, dir string, l *unionfs.Layers) {
	t.Helper()
	want := []string{"holders"}
	for n, chain := range i.chain {
		want = append(want, chain.Encoded())
		got, err := l.Get(chain)
		if err != nil {
			t.Error(err)
			continue
		}
		files, err := filepath.Glob(filepath.Join(got.Path, "dir*", fmt.Sprintf("%d-*", n)))
		if err != nil || len(files) != 120 {
			t.Errorf("layer %d has %d files, %v", n, len(files), err)
		}
	}
	equal(t, "the folder", want, names(t, dir))
}

// TestKilled kills processes that unpack, collect and unpack again, two at once, at random points. Whatever layer is there then is whole,
// the next one who unpacks finishes the work, and nothing else is left.
func TestKilled(t *testing.T) {
	i := large(t)
	if dir := os.Getenv(folderVariable); dir != "" {
		l := open(t, dir)
		os.Stdout.WriteString("+")
		for {
			i.unpackAll(t, l)
			if _, err := l.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	l := open(t, dir)
	for _, chain := range i.chain[:2] {
		if err := l.Refer(chain, "the test"); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 8 {
		killUnpacking(t, dir)
		for n, chain := range i.chain {
			if got, err := l.Get(chain); err == nil {
				files, _ := filepath.Glob(filepath.Join(got.Path, "dir*", fmt.Sprintf("%d-*", n)))
				if len(files) != 120 {
					t.Errorf("round %d: layer %d is there and has %d files", round, n, len(files))
				}
			}
		}
		l = open(t, dir) // as the next process does
		i.unpackAll(t, l)
		if _, err := l.Collect(t.Context()); err != nil {
			t.Error(err)
		}
		i.unpackAll(t, l)
		i.whole(t, dir, l)
		if t.Failed() {
			return
		}
	}
}

// killUnpacking lets two processes work on a folder, and kills them.
func killUnpacking(t *testing.T, dir string) {
	t.Helper()
	var children []*exec.Cmd
	for range 2 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), folderVariable+"="+dir)
		started, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, child)
		one := make([]byte, 1)
		if _, err := started.Read(one); err != nil || one[0] != '+' {
			t.Errorf("the process that was to be killed said %q, %v", one, err)
		}
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // no waiting for something, but the choice of the moment
	for _, child := range children {
		child.Process.Kill()
		child.Wait()
	}
}

// TestFullDisk unpacks an image on a disk that is too small, and then, when there is room, again.
func TestFullDisk(t *testing.T) {
	witness.Need(t, "root")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	l := open(t, dir)
	i := large(t)
	_, err := i.unpack(t.Context(), l, 0)
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), i.diffIDs[0].String()) {
		t.Errorf("error %v", err)
	}
	equal(t, "the folder", []string{"holders"}, names(t, dir))
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	i.unpackAll(t, l)
	i.whole(t, dir, l)
}
