// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is one child of the shell.
type process struct {
	pid     int
	done    chan struct{} // closed when it has ended; status is then set
	stopped chan struct{} // gets a value each time it is stopped (Ctrl-Z)
	status  unix.WaitStatus
}

// code is the exit code of an ended process as a shell counts: its own, or 128+n after signal n.
func (p *process) code() int {
	if p.status.Signaled() {
		return 128 + int(p.status.Signal())
	}
	return p.status.ExitStatus()
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// processes is the children of the shell. One reaper waits for any child, wait4(-1): so as PID 1 it also takes away the
// orphans that the kernel gives it, and no wait of somebody else can steal a status.
type processes struct {
	mu       sync.Mutex
	known    map[int]*process
	starting int                     // forks that have not returned
	early    map[int]unix.WaitStatus // what children did that no fork has returned yet
}

// newProcesses makes the table and starts its reaper, which lives as long as the shell.
func newProcesses() *processes {
	p := &processes{known: map[int]*process{}, early: map[int]unix.WaitStatus{}}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	go func() {
		for range children {
			p.reap()
		}
	}()
	return p
}

// start forks and executes. The reaper goes on meanwhile: a child that Ctrl-Z stops before its execve would else hold this
// fork for ever, since ForkExec waits for the execve.
func (p *processes) start(path string, argv []string, attr *syscall.ProcAttr) (*process, error) {
	p.mu.Lock()
	p.starting++
	p.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	p.mu.Lock()
	defer p.mu.Unlock()
	status, early := p.early[pid]
	if p.starting--; p.starting == 0 {
		clear(p.early)
	}
	if err != nil {
		return nil, err
	}
	child := &process{pid: pid, done: make(chan struct{}), stopped: make(chan struct{}, 1)}
	p.known[pid] = child
	switch {
	case early && status.Stopped():
		_ = unix.Kill(pid, status.StopSignal()) // what before resumed; it may have ended since
	case early:
		p.changed(pid, status)
	}
	return child, nil
}

// before keeps the status of a child that its fork has not returned yet. One that is stopped goes on until its execve.
func (p *processes) before(pid int, status unix.WaitStatus) {
	if p.starting == 0 {
		return
	}
	p.early[pid] = status
	if status.Stopped() {
		_ = unix.Kill(pid, unix.SIGCONT)
	}
}

// reap collects every child that has changed. One SIGCHLD can stand for many changes, so it goes on until there is none.
func (p *processes) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WUNTRACED, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		p.changed(pid, status)
	}
}

// changed passes a new status on; that of an orphan has no reader.
func (p *processes) changed(pid int, status unix.WaitStatus) {
	child, ok := p.known[pid]
	switch {
	case !ok:
		p.before(pid, status)
	case status.Stopped():
		select {
		case child.stopped <- struct{}{}:
		default:
		}
	default:
		child.status = status
		delete(p.known, pid)
		close(child.done)
	}
}
