// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
	"stave/registry"
	ocilayout "stave/registry/layout"
)

// TestImageKilled kills commands that change the store at random moments. Whatever they leave is whole: each name leads to an image that
// can be read, all of it. The next command finishes the work, and in the end, when the images are removed, nothing is left.
func TestImageKilled(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	seed := rand.Uint64()
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	host, state := serve(t, "")(), filepath.Join(folder(t), "state")
	source := filepath.Join(folder(t), "state") // what is pulled comes from another store
	archive, saved := randomArchive(t, random), filepath.Join(folder(t), "saved.tar")
	name := host + "/team/app"
	must(t, source, "import", archive, "base")
	for i := range 4 {
		must(t, source, "run", "--name", fmt.Sprint("layer", i), "base", "sh", "-c", fmt.Sprintf("head -c 300000 /dev/urandom > /made%d", i))
		must(t, source, "commit", fmt.Sprint("layer", i), "base")
	}
	must(t, source, "tag", "base", name)
	must(t, source, "push", name)
	must(t, source, "save", "-o", saved, "base")
	commands := map[string]struct{ before, do []string }{
		"pull":   {do: []string{"pull", name}},
		"import": {do: []string{"import", archive, "imported"}},
		"load":   {do: []string{"load", "-i", saved}},
		"rmi":    {before: []string{"pull", name}, do: []string{"rmi", name}},
		"prune":  {before: []string{"import", archive}, do: []string{"image", "prune", "-af"}},
		"push":   {before: []string{"load", "-i", saved}, do: []string{"push", name + ":again"}},
	}
	for what, c := range commands {
		took := time.Duration(0)
		for round := range 5 {
			inState(t, state, "image", "prune", "-af") // the round begins without images
			if c.before != nil {
				must(t, state, c.before...)
			}
			if what == "push" {
				must(t, state, "tag", "base", name+":again")
			}
			if round == 0 {
				start := time.Now()
				must(t, state, c.do...)
				took = time.Since(start)
				continue
			}
			killed(t, staveIn(state, c.do...), time.Duration(random.Int64N(int64(took))))
			whole(t, state)
			if got := inState(t, state, c.do...); got.code != 0 && !(what == "rmi" && strings.Contains(got.err, "no such image")) {
				t.Errorf("%s after a kill: %s", what, got.err)
			}
			whole(t, state)
		}
	}
	must(t, state, "image", "prune", "-af")
	var left []string
	for _, dir := range []string{"images/blobs/sha256", "images/leases", "images/ingest", "layers", "layers/holders"} {
		entries, err := os.ReadDir(filepath.Join(state, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.Name() != "holders" {
				left = append(left, dir+"/"+entry.Name())
			}
		}
	}
	if diff := cmp.Diff([]string(nil), left); diff != "" {
		t.Errorf("when all images are removed, left over are:\n%s", diff)
	}
}

// randomArchive makes an archive of busybox and some files that don't compress.
func randomArchive(t *testing.T, random *rand.Rand) string {
	t.Helper()
	dir := folder(t)
	root := filepath.Join(dir, "root")
	makeRoot(t, root)
	for i := range 20 {
		data := make([]byte, 100_000)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		put(t, filepath.Join(root, fmt.Sprint("random", i)), string(data), 0o644)
	}
	archive := filepath.Join(dir, "random.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", archive, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return archive
}

// killed starts a command and kills it after a while, if it still runs then.
func killed(t *testing.T, c *exec.Cmd, after time.Duration) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { c.Process.Kill() })
	c.Wait()
	timer.Stop()
}

// whole reads all that the names of a store lead to, which verifies it.
func whole(t *testing.T, state string) {
	t.Helper()
	store, err := ocilayout.Open(filepath.Join(state, "images"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := store.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		image, err := registry.FetchImage(t.Context(), store, n.Descriptor)
		if err != nil {
			t.Errorf("%q: %v", n.Name, err)
		}
		for _, layer := range image.Manifest.Layers {
			r, err := store.Fetch(t.Context(), layer)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if err != nil {
				t.Errorf("%q, layer %s: %v", n.Name, layer.Digest, err)
			}
		}
	}
	if got := inState(t, state, "images", "-a"); got.code != 0 {
		t.Errorf("images: %s", got.err)
	}
}
