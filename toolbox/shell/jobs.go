// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// job is the processes of one command line. With a terminal they are one process group, which is what the terminal
// sends its signals to and what may read from it; see credentials(7) and tcsetpgrp(3).
type job struct {
	number     int
	text       string
	foreground bool
	reported   bool // the user has been told that it ended

	mu    sync.Mutex
	group int  // process group, 0 before the first process
	halt  bool // Ctrl-Z stopped a process of it: those that start later stop too
	procs []*process
}

// start adds a process to the job. The first becomes the leader of the group; when the whole group has gone, as
// between two rounds of a loop, the next one leads a new group.
func (j *job) start(s *Shell, path string, args []string, attr *syscall.ProcAttr) (*process, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.tty.controls() {
		if j.ended() {
			j.group = 0
		}
		attr.Sys = &syscall.SysProcAttr{Setpgid: true, Pgid: j.group, Foreground: j.foreground, Ctty: s.tty.fd}
	}
	child, err := s.procs.start(path, args, attr)
	if err == unix.EPERM && j.group != 0 { // the leader ended a moment ago
		j.group, attr.Sys.Pgid = 0, 0
		child, err = s.procs.start(path, args, attr)
	}
	if err != nil {
		return nil, err
	}
	if j.group == 0 && attr.Sys != nil {
		j.group = child.pid
	}
	j.procs = append(j.procs, child)
	if j.halt {
		_ = unix.Kill(child.pid, unix.SIGTSTP) // it was not in the group yet when the terminal signalled that
	}
	return child, nil
}

// stop stops the processes of the job that Ctrl-Z has not reached, and those that start from now on.
func (j *job) stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.halt = true
	j.signal(unix.SIGTSTP)
}

// resume lets a stopped job go on.
func (j *job) resume() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.halt = false
	j.signal(unix.SIGCONT)
}

// state is what jobs prints: Running, Stopped, or how the job ended. The caller needs no lock for a job that gets no more
// processes.
func (j *job) state() string {
	switch {
	case j.ended():
		return j.outcome()
	case j.halted():
		return "Stopped"
	}
	return "Running"
}

// ended reports whether all processes of the job have ended.
func (j *job) ended() bool {
	for _, p := range j.procs {
		if !p.ended() {
			return false
		}
	}
	return true
}

// outcome is how the last process of an ended job has ended: Done, Exit N, or by which signal: Terminated, Killed.
func (j *job) outcome() string {
	if len(j.procs) == 0 {
		return "Done"
	}
	status := j.procs[len(j.procs)-1].status
	switch {
	case status.Signaled():
		text := status.Signal().String()
		return strings.ToUpper(text[:1]) + text[1:]
	case status.ExitStatus() != 0:
		return fmt.Sprintf("Exit %d", status.ExitStatus())
	}
	return "Done"
}

// halted reports whether a process of the job is stopped, as the kernel tells it.
func (j *job) halted() bool {
	for _, p := range j.procs {
		if !p.ended() && processState(p.pid) == 'T' {
			return true
		}
	}
	return false
}

// code is the exit code of the job: that of its last process.
func (j *job) code() int {
	if len(j.procs) == 0 {
		return 0
	}
	return j.procs[len(j.procs)-1].code()
}

// signal sends a signal to the whole job.
func (j *job) signal(sig unix.Signal) {
	if j.group != 0 {
		_ = unix.Kill(-j.group, sig)
		return
	}
	for _, p := range j.procs {
		if !p.ended() {
			_ = unix.Kill(p.pid, sig)
		}
	}
}

// jobs is the jobs that run in the background or are stopped, and those that ended, until someone asks for their code.
type jobs struct {
	mu   sync.Mutex
	list []*job
}

// add gives a job its number and puts it into the table.
func (t *jobs) add(j *job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	j.number = 1
	for _, other := range t.list {
		if !other.reported && other.number >= j.number {
			j.number = other.number + 1
		}
	}
	t.list = append(t.list, j)
}

// remove takes a job out of the table.
func (t *jobs) remove(j *job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.list {
		if other == j {
			t.list = append(t.list[:i], t.list[i+1:]...)
			return
		}
	}
}

// all is a copy of the table.
func (t *jobs) all() []*job {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*job{}, t.list...)
}

// find is the job of "%2", "%%", "%+", "2" as fg takes it, or "" for the newest one.
func (t *jobs) find(name string) (*job, error) {
	list := t.all()
	name = strings.TrimPrefix(name, "%")
	newest := name == "" || name == "%" || name == "+"
	number, err := strconv.Atoi(name)
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].reported && (newest || err == nil && list[i].number == number) {
			return list[i], nil
		}
	}
	if newest {
		return nil, fmt.Errorf("no job")
	}
	return nil, fmt.Errorf("%s: no such job", name)
}

// byPID is the job that a process belongs to, or nil.
func (t *jobs) byPID(pid int) (*job, *process) {
	for _, j := range t.all() {
		for _, p := range j.procs {
			if p.pid == pid {
				return j, p
			}
		}
	}
	return nil, nil
}

// print lists the jobs; with onlyDone those that have ended since the last time, as before a prompt.
func (t *jobs) print(w io.Writer, onlyDone bool) {
	for _, j := range t.all() {
		ended := j.ended()
		if j.reported || onlyDone && !ended {
			continue
		}
		j.reported = ended
		fmt.Fprintf(w, "[%d] %-10s %s\n", j.number, j.state(), j.text)
	}
}
