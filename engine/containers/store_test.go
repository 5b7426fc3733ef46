// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stave/unionfs"
)

// held are layers that remember who holds them.
type held map[string][]digest.Digest

// Get returns a layer of which nothing is known but its id.
func (h held) Get(chain digest.Digest) (unionfs.Layer, error) {
	return unionfs.Layer{ChainID: chain, Path: "/layers/" + chain.Encoded()}, nil
}

// Refer notes the holder.
func (h held) Refer(chain digest.Digest, holder string) error {
	h[holder] = append(h[holder], chain)
	return nil
}

// Release forgets the holder.
func (h held) Release(holder string) error {
	delete(h, holder)
	return nil
}

// folderDriver is a driver that makes a folder. It fails where it is told to.
type folderDriver struct{ fails error }

// Name is folder.
func (folderDriver) Name() string { return "folder" }

// Prepare makes the folder.
func (d folderDriver) Prepare(_ context.Context, s unionfs.Stack) (unionfs.Root, error) {
	root := unionfs.Root{Path: filepath.Join(s.Dir, "merged")}
	return root, errors.Join(os.MkdirAll(root.Path, 0o755), d.fails)
}

// View is the folder.
func (folderDriver) View(_ context.Context, s unionfs.Stack) (string, func() error, error) {
	return filepath.Join(s.Dir, "merged"), func() error { return nil }, nil
}

// Changes writes nothing.
func (folderDriver) Changes(context.Context, unionfs.Stack, io.Writer) error { return nil }

// Remove removes the folder.
func (folderDriver) Remove(_ context.Context, s unionfs.Stack) error {
	return os.RemoveAll(filepath.Join(s.Dir, "merged"))
}

// newStore makes a store in a folder of the test.
func newStore(t *testing.T, d folderDriver) (*Containers, held) {
	t.Helper()
	layers := held{}
	dir := t.TempDir()
	c, err := Open(dir, filepath.Join(dir, "run"), layers, []unionfs.Driver{d})
	if err != nil {
		t.Fatal(err)
	}
	return c, layers
}

// create makes a container.
func create(t *testing.T, c *Containers, r Record) *Container {
	t.Helper()
	r.Driver, r.Layers = "folder", []digest.Digest{digest.FromString("layer")}
	made, err := c.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// folders lists what is in the folder of containers, but for the lock.
func folders(t *testing.T, c *Containers) []string {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestLife follows a container from its making to its removal.
func TestLife(t *testing.T) {
	c, layers := newStore(t, folderDriver{})
	made := create(t, c, Record{Name: "one", Image: "busybox"})
	if info, err := os.Stat(made.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may enter the container's folder: %v, %v", info.Mode(), err)
	}
	if len(made.ID) != 64 || made.Status != Created || len(layers["container-"+made.ID]) != 1 {
		t.Errorf("made %+v, layers held %v", made.Record, layers)
	}
	other, err := c.Find("one")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Remove(t.Context()); err == nil || !strings.Contains(err.Error(), "stave rm -f one") {
		t.Errorf("removal of one that is in use: %v", err)
	}
	if err := made.Started(); err != nil {
		t.Fatal(err)
	}
	if err := made.Exited(t.Context(), 3, nil); err != nil {
		t.Fatal(err)
	}
	made.Close()
	for _, word := range []string{"one", "/one", made.ID, made.ID[:12], made.ID[:1]} {
		found, err := c.Find(word)
		if err != nil || found.ExitCode != 3 || found.Status != Exited || found.FinishedAt.Before(found.StartedAt) {
			t.Errorf("find %s: %+v, %v", word, found, err)
		}
	}
	if err := c.Sweep(t.Context()); err != nil || len(folders(t, c)) != 1 {
		t.Errorf("a container that has ended is not to be swept: %v, %v", folders(t, c), err)
	}
	if err := other.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if left := folders(t, c); len(left)+len(layers) > 0 {
		t.Errorf("left: %v, %v", left, layers)
	}
	if _, err := c.Find("one"); !errors.Is(err, ErrNotFound) {
		t.Errorf("find one that is gone: %v", err)
	}
}

// TestNames checks which names are taken and which are made up.
func TestNames(t *testing.T) {
	c, _ := newStore(t, folderDriver{})
	seen := map[string]bool{}
	for range 5 {
		made := create(t, c, Record{})
		if checkName(made.Name) != nil || seen[made.Name] {
			t.Errorf("made up: %q", made.Name)
		}
		seen[made.Name] = true
		made.Close()
	}
	create(t, c, Record{Name: "taken"}).Close()
	for name, want := range map[string]string{"taken": "stave rm taken", "a": "two or more", "-a": "two or more", "a/b": "two or more", "é_": "two or more"} {
		if _, err := c.Create(t.Context(), Record{Name: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the name %q: %v", name, err)
		}
	}
	if n := len(folders(t, c)); n != 6 {
		t.Errorf("%d folders for 6 containers", n)
	}
	if _, err := newName(func(string) bool { return true }); err != nil {
		t.Errorf("all names taken: %v", err)
	}
}

// TestAmbiguous asks for the beginning of two ids.
func TestAmbiguous(t *testing.T) {
	c, _ := newStore(t, folderDriver{})
	for _, id := range []string{strings.Repeat("a", 64), strings.Repeat("a", 63) + "b"} {
		create(t, c, Record{ID: id}).Close()
	}
	if _, err := c.Find("aaa"); err == nil || !strings.Contains(err.Error(), "2 containers") {
		t.Errorf("an ambiguous id: %v", err)
	}
	if found, err := c.Find(strings.Repeat("a", 64)); err != nil || !strings.HasSuffix(found.ID, "a") {
		t.Errorf("a whole id: %v", err)
	}
}

// TestSweep leaves containers as a killed command does, with nobody's lock, and looks at what becomes of them.
func TestSweep(t *testing.T) {
	for name, test := range map[string]struct {
		status     Status
		autoRemove bool
		locked     bool
		want       []Status // of what is found afterwards
	}{
		"being made":                 {status: Creating},
		"being made by one alive":    {status: Creating, locked: true, want: []Status{Creating}},
		"created":                    {status: Created, want: []Status{Created}},
		"ran":                        {status: Running, want: []Status{Exited}},
		"runs":                       {status: Running, locked: true, want: []Status{Running}},
		"ran, and removes itself":    {status: Running, autoRemove: true},
		"ended, and removes itself":  {status: Exited, autoRemove: true},
		"runs, and removes itself":   {status: Running, autoRemove: true, locked: true, want: []Status{Running}},
		"ended":                      {status: Exited, want: []Status{Exited}},
		"made, and removes itself":   {status: Created, autoRemove: true},
		"to be made, removes itself": {status: Creating, autoRemove: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, layers := newStore(t, folderDriver{})
			made := create(t, c, Record{AutoRemove: test.autoRemove})
			made.Status = test.status
			if err := made.write(made.dir); err != nil {
				t.Fatal(err)
			}
			if !test.locked {
				made.Close()
			}
			if err := c.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			list, err := c.List()
			if err != nil {
				t.Fatal(err)
			}
			var got []Status
			for _, one := range list {
				got = append(got, one.Status)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			if len(layers) != len(test.want) {
				t.Errorf("layers held: %v", layers)
			}
			if len(got) == 1 && got[0] == Exited && test.status == Running && (list[0].ExitCode != 255 || list[0].FinishedAt.Before(made.CreatedAt)) {
				t.Errorf("an unknown exit code is %d, of one that ended at %v", list[0].ExitCode, list[0].FinishedAt)
			}
			made.Close()
		})
	}
}

// TestFailedCreation leaves nothing behind.
func TestFailedCreation(t *testing.T) {
	broken := errors.New("the disk is full")
	c, layers := newStore(t, folderDriver{fails: broken})
	if _, err := c.Create(t.Context(), Record{Image: "busybox", Driver: "folder"}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "busybox") {
		t.Errorf("the error: %v", err)
	}
	if left := folders(t, c); len(left)+len(layers) > 0 {
		t.Errorf("left: %v, %v", left, layers)
	}
}

// TestTemporary makes a temporary folder, and leaves another as a killed command does.
func TestTemporary(t *testing.T) {
	c, _ := newStore(t, folderDriver{})
	dir, release, err := c.Temporary(t.Context(), "0123456789ab", false)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(c.dir, "left")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := folders(t, c); !slices.Equal(got, []string{filepath.Base(dir)}) {
		t.Errorf("after a sweep: %v", got)
	}
	if err := release(); err != nil || len(folders(t, c)) > 0 {
		t.Errorf("after the release: %v, %v", folders(t, c), err)
	}
}

// TestBrokenRecord does not keep the other containers from being swept, is named when it is listed, and can be removed.
func TestBrokenRecord(t *testing.T) {
	c, layers := newStore(t, folderDriver{})
	id := strings.Repeat("b", 64)
	bad := filepath.Join(c.dir, id)
	layers["container-"+id] = nil
	if err := os.Mkdir(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"{": "unexpected end", `{"id":"other"}`: "another container"} {
		if err := os.WriteFile(filepath.Join(bad, recordName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.List(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("a record %q: %v", text, err)
		}
		create(t, c, Record{}).Close() // nobody else is hindered
	}
	if _, err := c.Find("other"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("one that may be the broken one: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(bad, "merged/file"), 0o755); err != nil {
		t.Fatal(err)
	}
	if lock, err := os.Create(filepath.Join(bad, lockName)); err != nil || lock.Close() != nil {
		t.Fatal(err)
	}
	one, err := c.Find(id)
	if one == nil || err == nil {
		t.Fatalf("find the broken one: %v, %v", one, err)
	}
	if err := one.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(bad); !errors.Is(err, os.ErrNotExist) || len(layers) != 2 {
		t.Errorf("left: %v, layers %v", err, layers)
	}
}
