// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stave/internal/witness"
)

// killed is a command that is killed many times.
type killed struct {
	kills int
	// begin makes what the command needs, and says how it is called; n counts the attempts.
	begin func(t *testing.T, n int) attempt
}

// attempt is one time that a command is killed.
type attempt struct {
	state string
	args  []string
	// next is what the user does then; it has to succeed.
	next [][]string
	// done looks whether the work is finished.
	done func(t *testing.T, s *store)
	// keep leaves the state folder for the next attempt.
	keep bool
}

// TestKill kills commands at random points of their time. After each, the store is consistent, and the next run finishes the work.
func TestKill(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:docker-registry", "filesystem:overlay")
	k := newKilling(t)
	for _, one := range []struct {
		name string
		killed
	}{
		{"pull", killed{12, k.pull}},
		{"load", killed{10, k.load}},
		{"commit", killed{10, k.commit(t)}},
		{"push", killed{8, k.push}},
		{"rmi", killed{5, k.rmi}},
		{"prune", killed{5, k.prune}},
	} {
		t.Run(one.name, func(t *testing.T) { k.all(t, one.killed) })
	}
}

// killing is what all attempts share.
type killing struct {
	seed     uint64
	random   *rand.Rand
	dir      string // in memory
	archive  string // of the victims
	template string // a state folder that has them
	registry string // its address; it has victim:1
	layers   *layers
}

// newKilling makes the images, and a registry that has one of them.
func newKilling(t *testing.T) *killing {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("STAVE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	dir := memory(t, "1g")
	k := &killing{seed: seed, random: rand.New(rand.NewPCG(seed, 0)), dir: dir, layers: newLayers()}
	k.archive, k.template = filepath.Join(dir, "victims.tar.gz"), filepath.Join(dir, "template")
	victims(t, k.archive)
	must(t, stave(k.template, "load", "-i", k.archive))
	k.registry = dockerRegistry(t, filepath.Join(dir, "registry"))
	state := k.copy(t)
	must(t, stave(state, "tag", "victim:1", k.registry+"/victim:1"))
	must(t, stave(state, "push", "--quiet", k.registry+"/victim:1"))
	k.layers.look(state).fail(t, "before anything was killed")
	return k
}

// copy makes a state folder that has the images.
func (k *killing) copy(t *testing.T) string {
	t.Helper()
	state := k.fresh(t)
	must(t, exec.Command("cp", "-a", k.template, state))
	return state
}

// fresh is the path of a state folder that is not there.
func (k *killing) fresh(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(k.dir, "state")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "state")
}

// all kills a command as often as asked for. First it runs undisturbed: what that takes is the time in which it is killed.
func (k *killing) all(t *testing.T, it killed) {
	whole := 10 * time.Minute
	for n, kills := 0, 0; kills < it.kills; n++ {
		if n > 10*it.kills {
			t.Fatalf("seed %d: it ended before the kill, %d times of %d", k.seed, n-kills, n)
		}
		a := it.begin(t, n)
		delay := time.Duration(k.random.Float64() * float64(whole))
		when := "undisturbed"
		if n == 0 {
			delay = whole
		}
		took, hit := kill(t, stave(a.state, a.args...), delay)
		if hit {
			kills++
			when = fmt.Sprintf("seed %d, attempt %d, killed after %v of %v", k.seed, n, delay, whole)
		} else {
			whole = min(whole, took)
		}
		k.after(t, a, when)
		if t.Failed() {
			return
		}
		if !a.keep {
			if err := os.RemoveAll(filepath.Dir(a.state)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// after looks at the store after a kill, does what the user does next, and looks again.
func (k *killing) after(t *testing.T, a attempt, when string) {
	t.Helper()
	k.layers.look(a.state).fail(t, when)
	must(t, stave(a.state, "images"))
	for _, args := range a.next {
		if got := run(t, stave(a.state, args...)); got.code != 0 {
			t.Errorf("%s: then %q: exit code %d: %s", when, args, got.code, got.err)
		}
	}
	s := k.layers.look(a.state)
	s.tidy()
	a.done(t, s)
	s.fail(t, when+", and done again")
}

// kill starts a command and kills it after a while, unless it ends before. A command that fails by itself fails the test.
func kill(t *testing.T, c *exec.Cmd, delay time.Duration) (took time.Duration, hit bool) {
	t.Helper()
	var said strings.Builder
	c.Stderr = &said
	began := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(delay, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	err := c.Wait()
	took = time.Since(began)
	if status := c.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return took, true
	}
	if err != nil {
		t.Fatalf("%q: %v: %s", c.Args, err, said.String())
	}
	return took, false
}

// pull pulls into an empty store.
func (k *killing) pull(t *testing.T, _ int) attempt {
	name := k.registry + "/victim:1"
	again := []string{"pull", "--quiet", name}
	return attempt{state: k.fresh(t), args: again, next: [][]string{again}, done: func(_ *testing.T, s *store) {
		s.has(name)
		s.exact()
	}}
}

// load loads a compressed archive of two images, which goes through a temporary file, into an empty store.
func (k *killing) load(t *testing.T, _ int) attempt {
	again := []string{"load", "--quiet", "-i", k.archive}
	return attempt{state: k.fresh(t), args: again, next: [][]string{again}, done: func(_ *testing.T, s *store) {
		s.has("docker.io/library/victim:1")
		s.has("docker.io/library/victim:2")
		s.exact()
	}}
}

// commit makes images of one container. The same changes make the same layer each time.
func (k *killing) commit(t *testing.T) func(t *testing.T, n int) attempt {
	state := k.copy(t)
	must(t, stave(state, "run", "--name", "changed", "victim:1", "sh", "-c",
		"rm -r /data0; dd if=/dev/urandom of=/big bs=1M count=4 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9; do echo $i >/data1/$i; done; mv /data4 /data6"))
	var first []string
	return func(_ *testing.T, n int) attempt {
		again := []string{"commit", "changed", fmt.Sprintf("made:%d", n)}
		return attempt{state: state, keep: true, args: again, next: [][]string{again, {"image", "prune", "-f"}}, done: func(t *testing.T, s *store) {
			name := fmt.Sprintf("docker.io/library/made:%d", n)
			s.has(name)
			s.exact()
			var ids []string
			for _, id := range s.ids[name][1:] {
				ids = append(ids, id.String())
			}
			if first == nil {
				first = ids
			}
			if got, want := strings.Join(ids, "\n"), strings.Join(first, "\n"); got != want {
				t.Errorf("the layers are\n%s\nand were\n%s", got, want)
			}
		}}
	}
}

// push pushes to a repository that is not there yet.
func (k *killing) push(t *testing.T, n int) attempt {
	state := k.copy(t)
	repository := fmt.Sprintf("pushed%d", n)
	name := k.registry + "/" + repository + ":1"
	must(t, stave(state, "tag", "victim:2", name))
	again := []string{"push", "--quiet", name}
	return attempt{state: state, args: again, next: [][]string{again}, done: func(t *testing.T, s *store) {
		s.has(name)
		s.exact()
		for d := range pulled(t, k.registry, repository, "1") {
			if !s.uses[d] {
				t.Errorf("the registry has %s, which is not the image's", d)
			}
		}
	}}
}

// rmi removes one of two images, which has layers of its own and some that both have.
func (k *killing) rmi(t *testing.T, _ int) attempt {
	return attempt{state: k.copy(t), args: []string{"rmi", "victim:2"}, next: [][]string{{"image", "rm", "--force", "victim:2"}, {"image", "prune", "-f"}}, done: func(t *testing.T, s *store) {
		s.has("docker.io/library/victim:1")
		s.exact()
		if len(s.ids) != 1 {
			t.Errorf("%d images are left", len(s.ids))
		}
	}}
}

// prune removes all images.
func (k *killing) prune(t *testing.T, _ int) attempt {
	again := []string{"image", "prune", "-a", "-f"}
	return attempt{state: k.copy(t), args: again, next: [][]string{again}, done: func(t *testing.T, s *store) {
		s.exact()
		if blobs, layers := s.list("images/blobs/sha256"), s.list("layers"); len(s.ids)+len(blobs) > 0 || len(layers) > 1 {
			t.Errorf("%d images, blobs %q and layers %q are left", len(s.ids), blobs, layers)
		}
	}}
}
