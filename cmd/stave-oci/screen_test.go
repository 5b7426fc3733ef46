// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"stave/internal/witness"
)

// screen keeps what a program writes, for a test that waits for a part of it.
type screen struct {
	mutex sync.Mutex
	text  strings.Builder
}

// newScreen copies from a terminal or pipe until it ends.
func newScreen(r io.Reader) *screen {
	s := &screen{}
	go io.Copy(s, r)
	return s
}

// Write appends.
func (s *screen) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.Write(p)
}

// String returns what was written so far.
func (s *screen) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}

// until waits for a text.
func (s *screen) until(t *testing.T, text string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("written so far:\n%s", s)
		}
	}()
	witness.Until(t, "the program writes "+text, func() bool { return strings.Contains(s.String(), text) })
}
