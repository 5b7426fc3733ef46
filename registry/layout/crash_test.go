// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// child copies all images of the layout in the folder args[0] to the one in args[1], deletes a name, collects, and copies again. It writes a
// byte for everything that happens.
func child(args []string) int {
	if err := childErr(context.Background(), args[0], args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childErr is what the child does.
func childErr(ctx context.Context, from, to string) error {
	src, err := layout.Open(from)
	if err != nil {
		return err
	}
	tick := func() { _, _ = os.Stdout.Write([]byte{'.'}) }
	tick()
	dst, err := layout.Open(to)
	if err != nil {
		return err
	}
	names, err := src.Names(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		for _, n := range names {
			if _, err := registry.Copy(ctx, dst, n.Name, src, n.Name, registry.CopyOptions{Progress: func(registry.Event) { tick() }}); err != nil {
				return err
			}
			tick()
		}
		if _, err := dst.Ingest(ctx, "text/plain", tickingReader{io.LimitReader(zeros{}, 600_000), tick}); err != nil {
			return err
		}
		err := dst.Delete(ctx, names[0].Name)
		if err != nil && !errors.Is(err, registry.ErrNotFound) { // another child was faster
			return err
		}
		tick()
		if _, err := dst.Collect(ctx); err != nil {
			return err
		}
		tick()
	}
	return nil
}

// zeros are endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// tickingReader ticks with each read.
type tickingReader struct {
	io.Reader
	tick func()
}

func (r tickingReader) Read(p []byte) (int, error) {
	r.tick()
	return r.Reader.Read(p)
}

// crashSource is a layout with three images that have a layer in common.
func crashSource(t *testing.T) *layout.Layout {
	t.Helper()
	src := open(t, t.TempDir())
	common := storetest.Bytes("common", 1_500_000)
	for i := range 3 {
		d := storetest.Sample(t, src, "linux/amd64", common, storetest.Bytes(fmt.Sprint(i), 700_000))
		if err := src.Tag(t.Context(), d, fmt.Sprintf("docker.io/library/image-%d:latest", i)); err != nil {
			t.Fatal(err)
		}
	}
	return src
}

// command is the child, not started.
func command(t *testing.T, from, to string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), os.Args[0], childArgument, from, to)
	c.Stderr = os.Stderr
	return c
}

// checkWhole looks at every file of a layout: whatever has a name is there with all below it, and every blob is what it is called.
func checkWhole(t *testing.T, l *layout.Layout) {
	t.Helper()
	names, err := l.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		storetest.Same(t, l, n.Descriptor)
	}
	for _, path := range files(t, filepath.Join(l.Dir(), "blobs")) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := digest.SHA256.FromReader(f)
		f.Close()
		if err != nil || got.Encoded() != filepath.Base(path) {
			t.Fatalf("%s has the digest %s, %v", path, got, err)
		}
	}
}

// files lists the regular files below a folder.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestKill kills a process that copies into a layout, fifty times, each time somewhere else. What it leaves is whole; the next run
// finishes, and then nothing is there that does not belong there.
func TestKill(t *testing.T) {
	src := crashSource(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "layout")
	partial := 0
	for round := 0; round < 50; {
		if round%10 == 0 { // from nothing: also the making of a layout is killed
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		c := command(t, src.Dir(), dir)
		progress, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.CopyN(io.Discard, progress, 1+random.Int64N(90))
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := c.Wait()
		if killed == nil {
			continue // it was done before
		}
		if !strings.Contains(killed.Error(), "killed") {
			t.Fatalf("round %d: %v", round, killed)
		}
		round++
		l := open(t, dir)
		checkWhole(t, l)
		partial += len(files(t, filepath.Join(dir, "ingest")))
	}
	if partial == 0 {
		t.Error("no kill has left a part of a blob: this tests nothing")
	}
	finish(t, src, dir)
}

// finish copies all once more, and looks for what does not belong there.
func finish(t *testing.T, src *layout.Layout, dir string) {
	t.Helper()
	l := open(t, dir)
	names, err := src.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, n := range names {
		if _, err := registry.Copy(t.Context(), l, n.Name, src, n.Name, registry.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		needed, err := registry.Reachable(t.Context(), src, n.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		for d := range needed {
			want[d.Encoded()] = true
		}
	}
	checkWhole(t, l)
	if left := append(files(t, filepath.Join(dir, "ingest")), files(t, filepath.Join(dir, "leases"))...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := l.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	blobs := files(t, filepath.Join(dir, "blobs"))
	for _, path := range blobs {
		if !want[filepath.Base(path)] {
			t.Errorf("not collected: %s", path)
		}
	}
	if len(blobs) != len(want) {
		t.Errorf("%d blobs, want %d", len(blobs), len(want))
	}
}

// TestProcesses lets several processes copy the same images into a layout, delete and collect, all at once.
func TestProcesses(t *testing.T) {
	src := crashSource(t)
	dir := filepath.Join(t.TempDir(), "layout")
	var children sync.WaitGroup
	for range 4 {
		c := command(t, src.Dir(), dir)
		children.Go(func() {
			if err := c.Run(); err != nil {
				t.Errorf("child: %v", err)
			}
		})
	}
	children.Wait()
	checkWhole(t, open(t, dir))
	finish(t, src, dir)
}
