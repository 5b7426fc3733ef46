// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stave/unionfs"
)

// stackVariable has the stack that a process of testKilled works on, as JSON.
const stackVariable = "STAVE_DRIVERTEST_STACK"

// testKilled kills processes that prepare and remove a container, at random points. Afterwards the container can be prepared as if
// nothing had been, and nothing is left when it is removed.
func testKilled(t *testing.T, s Suite) {
	if text := os.Getenv(stackVariable); text != "" {
		prepareForEver(t, s, text)
	}
	w := newWorld(t, s)
	base := w.base()
	c := w.container(base, w.second(base))
	for range 15 {
		w.killPreparing(c)
		w.within(c, w.checkSecond)
		if err := w.Driver.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.lists(c.Dir)
	}
}

// killPreparing lets another process work on a stack, and kills it.
func (w *world) killPreparing(s unionfs.Stack) {
	w.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		w.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(w.Name(), "/", "$/^")+"$")
	child.Env = append(os.Environ(), stackVariable+"="+string(text))
	started, err := child.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := child.Start(); err != nil {
		w.Fatal(err)
	}
	one := make([]byte, 1)
	_, err = started.Read(one) // it is at work
	// No waiting for something, but the choice of the moment.
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	child.Process.Kill()
	child.Wait()
	if err != nil || one[0] != '+' {
		w.Fatalf("the process that was to be killed said %q, %v", one, err)
	}
}

// prepareForEver is that other process.
func prepareForEver(t *testing.T, s Suite, text string) {
	var stack unionfs.Stack
	if err := json.Unmarshal([]byte(text), &stack); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("+")
	for {
		if _, err := s.Driver.Prepare(t.Context(), stack); err != nil {
			t.Fatal(err)
		}
		// What is written takes part, too.
		path, done, err := s.Driver.View(t.Context(), stack)
		if err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(filepath.Join(path, "new"))
		os.WriteFile(filepath.Join(path, "new"), []byte("new"), 0o644)
		if err := done(); err != nil {
			t.Fatal(err)
		}
		if err := s.Driver.Remove(t.Context(), stack); err != nil {
			t.Fatal(err)
		}
	}
}
