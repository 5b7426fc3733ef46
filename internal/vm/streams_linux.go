// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"sync"
)

// consoleKept is how many bytes of the console are kept for a report.
const consoleKept = 64 << 10

// streams are the files and pipes between the launcher and one QEMU.
type streams struct {
	inherited []*os.File // by QEMU, in the order of the constants in qemu.go
	pipes     []*os.File // our ends: console, output, status, coverage
	started   chan struct{}
	readers   sync.WaitGroup
	outcome   outcome
	console   tail
	coverage  []byte
}

// openStreams makes all files that QEMU inherits.
func openStreams(l *launcher) (*streams, error) {
	s := &streams{started: make(chan struct{})}
	initrd, err := nameless("initrd")
	if err != nil {
		return nil, err
	}
	s.inherited = append(s.inherited, initrd)
	if _, err := initrd.Write(l.initrd); err != nil {
		s.close()
		return nil, err
	}
	for range 4 {
		read, write, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, err
		}
		s.pipes = append(s.pipes, read)
		s.inherited = append(s.inherited, write)
	}
	disk, err := scratchDisk()
	if err != nil {
		s.close()
		return nil, err
	}
	s.inherited = append(s.inherited, disk)
	if l.verbose {
		s.console.copy = os.Stderr
	}
	return s, nil
}

// handOver closes what only QEMU needs now that it runs, and starts to read.
func (s *streams) handOver() {
	closeAll(s.inherited)
	s.inherited = nil
	s.readers.Go(func() { io.Copy(&s.console, s.pipes[0]) }) // a pipe that breaks is QEMU's end
	s.readers.Go(func() { io.Copy(os.Stdout, s.pipes[1]) })
	s.readers.Go(func() { s.readStatus(s.pipes[2]) })
	s.readers.Go(func() { s.coverage, _ = io.ReadAll(s.pipes[3]) })
}

// readStatus takes in the lines of the status port.
func (s *streams) readStatus(from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		before := s.outcome.started
		s.outcome.add(lines.Text())
		if s.outcome.started && !before {
			close(s.started)
		}
	}
}

// finish waits until all that QEMU wrote has been read. It has to have ended.
func (s *streams) finish() *outcome {
	s.readers.Wait()
	s.outcome.console = s.console.buffer.String()
	return &s.outcome
}

// close closes our ends.
func (s *streams) close() {
	closeAll(s.inherited)
	closeAll(s.pipes)
}

// closeAll closes files that have been used up: there is nothing left to lose.
func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// tail keeps the end of what is written to it, and copies all of it if it has where to.
type tail struct {
	buffer bytes.Buffer
	copy   io.Writer
}

// Write takes in more of the console.
func (t *tail) Write(p []byte) (int, error) {
	if t.copy != nil {
		t.copy.Write(p) // for a person who looks on
	}
	t.buffer.Write(p)
	t.buffer.Next(max(0, t.buffer.Len()-consoleKept))
	return len(p), nil
}
