// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// The size of the random test.
const (
	rounds       = 4 // containers on top of each other
	perContainer = 150
)

// testRandom does random operations to a container and to a plain directory. Then the container becomes an image, and the next
// container on it goes on.
func testRandom(t *testing.T, s Suite) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := generator{Rand: rand.New(rand.NewPCG(seed, 0)), suite: s}
	w := newWorld(t, s)
	model := filepath.Join(w.dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	var layers []unionfs.Layer
	for round := range rounds {
		g.links = !s.PartsLinks || round == rounds-1
		c := w.container(layers...)
		w.within(c, func(root string) {
			var done []Operation
			for range perContainer {
				o := g.next()
				done = append(done, o)
				if !w.same(o, root, model) {
					break
				}
			}
			w.equal(fmt.Sprintf("round %d", round), Look(t, model, false), Look(t, root, false))
			if t.Failed() {
				t.Fatalf("after %v", done)
			}
		})
		layers = w.committed(c)
		if t.Failed() {
			return
		}
	}
}

// same does an operation to both, and says whether the same came of it.
func (w *world) same(o Operation, root, model string) bool {
	w.Helper()
	got := o.Do(root)
	if o.Verb == "rename" && w.KeepsFolders && errors.Is(got, unix.EXDEV) {
		return true
	}
	want := o.Do(model)
	if errno(got) != errno(want) {
		w.Errorf("%s: %v, and in the model: %v", o, got, want)
		return false
	}
	return true
}

// errno is the kernel's error.
func errno(err error) unix.Errno {
	var e unix.Errno
	if errors.As(err, &e) {
		// A directory with files in it is one or the other, as the file system likes (rename(2)).
		if e == unix.ENOTEMPTY {
			return unix.EEXIST
		}
		return e
	}
	return 0
}

// generator makes operations. Few names, so that they meet.
type generator struct {
	*rand.Rand
	suite Suite
	links bool
}

// name is a path of at most three parts.
func (g generator) name() string {
	name := ""
	for range 1 + g.IntN(3) {
		name = path.Join(name, string(rune('a'+g.IntN(4))))
	}
	return name
}

// next is a random operation.
func (g generator) next() Operation {
	verbs := []string{
		"mkdir", "mkdir", "mkdir", "write", "write", "write", "append", "change", "truncate", "unlink", "rmdir", "remove",
		"rename", "rename", "symlink", "chmod", "setxattr", "removexattr", "touch",
	}
	if g.links {
		verbs = append(verbs, "link", "link")
	}
	if !g.suite.Layer.SkipOwners {
		verbs = append(verbs, "chown")
	}
	if !g.suite.Layer.SkipDevices {
		verbs = append(verbs, "device", "fifo")
	}
	o := Operation{Verb: verbs[g.IntN(len(verbs))], Path: g.name()}
	switch o.Verb {
	case "write", "append", "change":
		o.To = fmt.Sprint(g.Uint32())
	case "rename", "link":
		o.To = g.name()
	case "symlink":
		o.To = path.Base(g.name())
	case "setxattr", "removexattr":
		o.To, o.N = "user."+path.Base(g.name()), g.IntN(9)
	case "device":
		o.N = []int{3, 5, 7}[g.IntN(3)]
	case "chmod":
		o.N = 0o700 | g.IntN(0o100) | g.IntN(8)<<9
	case "chown", "truncate", "touch":
		o.N = 1 + g.IntN(99)
	}
	return o
}
