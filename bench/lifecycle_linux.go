// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// container is one that lives longer than the command that made it. Its process becomes a child of ours then, as ours is
// the nearest one that adopts orphans (PR_SET_CHILD_SUBREAPER, prctl(2)): so its end is seen, and it is collected.
type container struct {
	of  *subject
	pid int
}

// make runs the command create, or run with its options, for a bundle and returns the container.
func (b *bench) make(s *subject, bundle string, words ...string) (c *container, taken sample, err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, taken, err
	}
	file := filepath.Join(b.dir, "pid")
	if taken, err = b.do(s, slices.Concat(words, []string{"--bundle", bundle, "--pid-file", file, s.id})...); err != nil {
		return nil, taken, err
	}
	c = &container{of: s}
	text, err := os.ReadFile(file)
	if err == nil {
		c.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err != nil {
		return nil, taken, errors.Join(err, b.remove(c))
	}
	return c, taken, nil
}

// do runs a command of the subject's runtime. The error names the command.
func (b *bench) do(s *subject, words ...string) (sample, error) {
	taken, err := once(b.command(slices.Concat(s.runtime, words)))
	if err != nil {
		err = fmt.Errorf("%s: %w", words[0], err)
	}
	return taken, err
}

// cycle makes a container, starts it and removes it, and returns what these three commands took together; not the time in
// which the container ends, after its start.
func (b *bench) cycle(s *subject) (sample, error) {
	c, all, err := b.make(s, b.bundle, "create")
	if err != nil {
		return all, err
	}
	for _, word := range []string{"start", "delete"} {
		taken, err := b.do(s, word, s.id)
		if err != nil {
			return all, errors.Join(err, b.remove(c))
		}
		all.wall, all.user, all.system = all.wall+taken.wall, all.user+taken.user, all.system+taken.system
		if word == "start" {
			c.wait()
		}
	}
	return all, nil
}

// wait waits for the end of the container's process, and collects it.
func (c *container) wait() {
	for {
		if _, err := unix.Wait4(c.pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}

// remove ends and removes a container, however far it got.
func (b *bench) remove(c *container) error {
	_, err := b.do(c.of, "delete", "--force", c.of.id)
	if err == nil && c.pid > 0 {
		c.wait()
	}
	return err
}

// begin runs a container, for commands that are to run inside it.
func (b *bench) begin(s *subject) (err error) {
	var c *container
	s.view.do(func() { c, _, err = b.make(s, b.idle, "run", "--detach") })
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	b.running = append(b.running, c)
	return nil
}

// end removes the containers that run.
func (b *bench) end() {
	for _, c := range b.running {
		var err error
		c.of.view.do(func() { err = b.remove(c) })
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", c.of.name, err)
		}
	}
	b.running = nil
}

// waitingGoal is how much memory of its own stave's waiting process may have, in bytes.
const waitingGoal = 1.5e6

// waiting prints how much memory the process of each runtime has that waits between create and start: what it shares with
// no other process.
func (b *bench) waiting() string {
	var out strings.Builder
	for _, s := range b.subjects {
		if !s.cycle {
			continue
		}
		var size float64
		var err error
		s.view.do(func() { size, err = b.sizeOfWaiting(s) })
		name, word := "waiting process of "+strings.TrimSuffix(s.name, cycle), ""
		switch {
		case err != nil:
			fmt.Fprintf(&out, "%-34s%v\n", name, err)
			continue
		case strings.HasPrefix(s.name, "stave") && size <= waitingGoal:
			word = "  reached"
		case strings.HasPrefix(s.name, "stave"):
			word = fmt.Sprintf("  not reached: at most %.2f MB", waitingGoal/1e6)
		}
		fmt.Fprintf(&out, "%-34s%10.2f MB%s\n", name, size/1e6, word)
	}
	return out.String()
}

// sizeOfWaiting makes a container, looks at its process before it is started, and removes it.
func (b *bench) sizeOfWaiting(s *subject) (float64, error) {
	c, _, err := b.make(s, b.bundle, "create")
	if err != nil {
		return 0, err
	}
	c.settle()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", c.pid))
	return private(string(text)), errors.Join(err, b.remove(c))
}

// settle waits until the container's process sleeps: it may be on its way still when its creator has ended.
func (c *container) settle() {
	for range 1000 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
		if _, after, _ := strings.Cut(string(text), ") "); err != nil || strings.HasPrefix(after, "S ") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// private adds up the memory of a process that is its alone, in bytes (proc_pid_smaps(5)).
//
//	Private_Dirty:       156 kB
//	1                    2
func private(smaps string) float64 {
	sum := 0.0
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		if len(fields) == 3 && (fields[0] == "Private_Clean:" || fields[0] == "Private_Dirty:") {
			n, _ := strconv.ParseFloat(fields[1], 64) // the kernel writes a number
			sum += n * 1024
		}
	}
	return sum
}
