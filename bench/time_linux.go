// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// time runs a program once, in its view. A code other than 0 is an error, which holds what the
// program wrote to standard error: a file, as reading a pipe would take part in the race.
func (b *bench) time(s *subject) (sample, error) {
	if err := b.errors.Truncate(0); err != nil {
		return sample{}, err
	}
	if _, err := b.errors.Seek(0, io.SeekStart); err != nil {
		return sample{}, err
	}
	var taken sample
	var err error
	s.view.do(func() {
		if s.cycle {
			taken, err = b.cycle(s)
		} else {
			taken, err = once(b.command(s.args))
		}
	})
	if err != nil {
		text := make([]byte, 2000)
		n, _ := b.errors.ReadAt(text, 0)
		return taken, fmt.Errorf("%s: %w: %s", s.name, err, strings.TrimSpace(string(text[:n])))
	}
	return taken, nil
}

// command returns a program ready to start. Its environment has PATH alone: GODEBUG or a locale would
// make some of the programs slower than others.
func (b *bench) command(args []string) *exec.Cmd {
	c := exec.Command(args[0], args[1:]...)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	c.Dir = b.bundle
	c.Stderr = b.errors
	return c
}

// once starts a command, waits for it and reads the clock and the kernel's account of it.
func once(c *exec.Cmd) (sample, error) {
	begin := time.Now()
	err := c.Run()
	taken := sample{wall: time.Since(begin)}
	if c.ProcessState != nil {
		taken.user, taken.system = c.ProcessState.UserTime(), c.ProcessState.SystemTime()
		taken.peak = c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024
	}
	return taken, err
}
