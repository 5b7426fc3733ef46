// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestNothingLeft makes and removes 500 containers, eight at a time. Every third stave-oci is killed at a random moment, and
// then what is in its container's cgroup. One more ordinary run sweeps: no cgroup, record or process is left.
func TestNothingLeft(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	times := 500
	if testing.Short() {
		times = 50
	}
	dir := newBundle(t, "exit 7", limited)
	patient := newBundle(t, "exec cat", limited)
	name := fmt.Sprintf("stave-test-leak-%d-", os.Getpid())
	before, begin := records(t), time.Now()
	run(t, exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, name+"first"))
	whole := time.Since(begin) // most of it comes after the container has started
	numbers := make(chan int)
	var killed, lived sync.Map
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for n := range numbers {
				id := name + strconv.Itoa(n)
				if n%3 != 0 {
					c := exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, id)
					if out, err := c.CombinedOutput(); c.ProcessState.ExitCode() != 7 {
						t.Errorf("%s: %v, %s", id, err, out)
					}
					continue
				}
				life := killed.Store
				if killStaveOCI(t, patient, id, rand.N(4*whole/time.Duration(1+n%2*15))) {
					life = lived.Store
				}
				life(id, true)
			}
		})
	}
	for n := range times {
		numbers <- n
	}
	close(numbers)
	group.Wait()
	t.Logf("of %d stave-oci, %d were killed before their container lived and %d afterwards", times, length(&killed), length(&lived))
	sweptBy(t, dir, name+"last", before)
	if left := groupsNamed(t, name); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
}

// sweptBy makes ordinary runs until nothing is left but the claims that were there before: the kernel may still count the
// last process that was killed when the first of them sweeps.
func sweptBy(t *testing.T, dir, id, before string) {
	t.Helper()
	witness.Until(t, "an ordinary run has swept", func() bool {
		if got := run(t, exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, id)); got.code != 7 {
			t.Fatalf("exit code %d, %s", got.code, got.err)
		}
		return records(t) == before
	})
}

// length counts the keys of a map.
func length(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// records lists the claims to cgroups.
func records(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/run/stave/cgroups/*")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(files, " ")
}

// killStaveOCI starts a container, kills stave-oci after a time, and then all processes of the container. It tells
// whether there were any.
func killStaveOCI(t *testing.T, dir, id string, after time.Duration) (lived bool) {
	c := exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, id)
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return false
	}
	defer ours.Close()
	watched, held, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return false
	}
	defer watched.Close()
	c.Stdin, c.Stdout = theirs, held
	err = c.Start()
	theirs.Close()
	held.Close()
	if err != nil {
		t.Error(err)
		return false
	}
	<-time.After(after)
	c.Process.Kill()
	c.Wait()
	// Whoever still has the output is a process of the container. It may be on its way into the cgroup.
	watched.SetReadDeadline(time.Now().Add(time.Minute))
	ended := make(chan error)
	go func() {
		_, err := watched.Read(make([]byte, 1))
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			if os.IsTimeout(err) {
				t.Errorf("a minute after stave-oci was killed a process of %s lives", id)
			}
			return lived
		case <-time.After(5 * time.Millisecond):
			for _, pid := range members(t, id) {
				lived = true
				unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

// members lists the processes of a container's cgroup.
func members(t *testing.T, id string) (pids []int) {
	_, mount := hierarchyOf(t, "pids")
	text, err := os.ReadFile(filepath.Join(mount, id, "cgroup.procs"))
	if err != nil {
		return nil // it is not there, or not any more
	}
	for word := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}
