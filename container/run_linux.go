// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
)

// Step is what [RunOptions].Step gets: a call of the program, with its place.
type Step = kernel.Step

// RunOptions say how a container is run in the foreground.
type RunOptions struct {
	Options
	// Step, if set, is called before each call of the program.
	Step func(Step) error
	// NoSubreaper leaves the orphans of a container that has no PID namespace of its own to the caller's reaper.
	NoSubreaper bool
	// Leave keeps the container, stopped, until it is deleted.
	Leave bool
}

// Exit codes of a container that could not run its command (sh(1), and what docker and runc give).
const (
	CodeNotFound      = 127
	CodeNotExecutable = 126
)

// Run makes the container of a bundle and runs it until its command ends. Signals that the caller gets
// are passed on, and do nothing else to it from then on; the terminal is passed on too. It returns the command's exit code, 128+n when signal n ended
// it; with an error, the code is 127 or 126 when the command could not be executed, and 0 otherwise.
func Run(b *Bundle, o RunOptions) (code int, err error) {
	l, err := prepare(b, o.Options)
	if err != nil {
		return 0, err
	}
	if o.Detach {
		return l.detach()
	}
	if !o.Leave { // then they wait for the deletion
		defer o.poststop(b) // the last of all: the container is deleted by then
	}
	defer func() { err = errors.Join(err, l.end(o.Leave)) }()
	if err := l.claim.take(l.facts.ours()); err != nil {
		return 0, fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	if o.Step != nil {
		l.claim.pass() // a person takes his time
	}
	if !o.NoSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return 0, fmt.Errorf("become the reaper of the container's orphans: %w", err)
		}
	}
	status, code, err := l.foreground(o.Step)
	if err != nil {
		return code, err
	}
	o.outOfMemory(l.facts.Group)
	if err := l.leave(); err != nil {
		return 0, err
	}
	return exitCode(status), nil
}

// foreground runs the program until its command ends, as attend does.
func (l *launch) foreground(step func(Step) error) (status unix.WaitStatus, code int, err error) {
	return l.attend(step != nil, func(cloned func()) (int, error) {
		process, err := l.program.Start(kernel.Options{Step: step, Slots: l.slots, Cloned: cloned})
		if err != nil {
			return 0, err
		}
		return process.Pid, nil
	})
}

// attend begins the container's process, waits for its end, and passes signals and the terminal through. With an error, the code
// is that of a command that could not be executed, and 0 otherwise; nothing runs any more. What begin gets is to be called
// once there is a process.
func (l *launch) attend(slowly bool, begin func(cloned func()) (pid int, err error)) (status unix.WaitStatus, code int, err error) {
	signals, asked, ended := make(chan os.Signal, 64), make(chan struct{}), make(chan struct{})
	ask := func() {
		defer close(asked)
		signal.Notify(signals, forwarded()...)
	}
	if !slowly {
		go ask()
	}
	pid, err := begin(func() {
		l.claim.pass()
		if slowly { // a person who takes his time may end this until there is a container
			ask()
		}
		<-asked
	})
	if err != nil {
		return 0, execCode(err), explain(err)
	}
	l.started()
	err = l.tty.start()
	if err == nil && !l.restored {
		err = l.bundle.Poststart(specs.State{ID: l.options.ID, Pid: pid})
	}
	if err != nil {
		unix.Kill(pid, unix.SIGKILL)
		reap(pid)
		return 0, 0, errors.Join(err, l.tty.finish(), l.leave())
	}
	go forward(pid, signals, ended, l.tty)
	status = reap(pid)
	close(ended)
	return status, 0, l.tty.finish()
}

// poststop runs the hooks of a container that is deleted, and tells of those that failed.
func (o Options) poststop(b *Bundle) {
	for _, warning := range b.Poststop(specs.State{ID: o.ID}) {
		o.notify(warning.Error())
	}
}

// notify tells a person something.
func (o Options) notify(text string) {
	if o.Notice != nil {
		o.Notice(text)
	}
}

// detach starts the container and leaves it to itself.
func (l *launch) detach() (code int, err error) {
	process, err := l.program.Start(kernel.Options{Slots: l.slots, Cloned: l.claim.pass})
	if err != nil {
		return execCode(err), errors.Join(explain(err), l.abandon())
	}
	l.release()
	l.claim.pass()
	if err := l.bundle.Poststart(specs.State{ID: l.options.ID, Pid: process.Pid}); err != nil {
		return 0, errors.Join(err, l.instance.destroy(), l.instance.Close())
	}
	return 0, l.instance.Close()
}

// started lets other commands change the container while it runs.
func (l *launch) started() {
	l.release()
	if l.instance != nil {
		l.instance.unlock()
	}
}

// end takes back what prepare did, once the container has ended.
func (l *launch) end(leave bool) error {
	if l.instance == nil {
		return l.abandon()
	}
	err := l.instance.lock()
	if leave || err != nil {
		l.instance.Close()
		l.instance = nil
	}
	if errors.Is(err, ErrNotExist) { // another command has deleted it, with its hooks
		l.bundle.Spec.Hooks = nil
		err = nil
	}
	return errors.Join(err, l.abandon())
}

// outOfMemory tells of processes that the kernel killed because the group was at its memory limit.
func (o Options) outOfMemory(g cgroups.Group) {
	if kills, err := g.OOMKills(); err == nil && kills > 0 {
		o.notify(fmt.Sprintf("the container reached its memory limit, and the kernel killed %d of its processes", kills))
	}
}

// forwarded lists the signals that are passed on: those that people and programs send to a container.
// Asking Go for a signal costs two changes of thread, and giving it back two more: so there are no more of them, they are
// asked for while this program makes cgroups, and never given back. The container's process waits for that before its
// execve. A signal that comes earlier ends this program, and with it the set-up: the process finds the socket to its
// parent broken.
func forwarded() []os.Signal {
	const halt, powerOff = unix.Signal(34 + 3), unix.Signal(34 + 4) // SIGRTMIN+3 and +4, to a systemd (systemd(1))
	return []os.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM,
		unix.SIGCONT, unix.SIGTSTP, unix.SIGWINCH, unix.SIGPWR, halt, powerOff,
	}
}

// forward passes signals on to the container's process, and a change of size to its terminal, until it has ended: its
// number may be another's then.
func forward(pid int, signals <-chan os.Signal, ended <-chan struct{}, tty *terminal) {
	for {
		var s os.Signal
		select {
		case s = <-signals:
		case <-ended:
			return
		}
		switch {
		case s == unix.SIGWINCH && tty != nil:
			tty.resize()
		case s == unix.SIGHUP && tty != nil:
			hangUp(pid, tty)
		default:
			unix.Kill(pid, s.(unix.Signal))
		}
	}
}

// hangUp passes on that the caller's terminal is gone: the container's goes too, which the kernel tells
// its session. Nobody could type to what is left, so it is killed after a grace: the first process of
// a PID namespace ignores a SIGHUP that it has no handler for (pid_namespaces(7)).
func hangUp(pid int, tty *terminal) {
	const grace = 2 * time.Second
	tty.hangUp()
	unix.Kill(pid, unix.SIGHUP)
	time.AfterFunc(grace, func() { unix.Kill(pid, unix.SIGKILL) })
}

// reap waits for the container's process. As the reaper of orphans (PR_SET_CHILD_SUBREAPER, prctl(2))
// the caller inherits the processes of a container that has no PID namespace of its own: they are
// collected as they end, and killed when the container's process has.
func reap(pid int) unix.WaitStatus {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return status // there is no child: the kernel's answer is all there is
		case got == pid:
			killOrphans()
			return status
		}
	}
}

// killOrphans ends the processes that the container left to us, and theirs.
func killOrphans() {
	for {
		got, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR || got > 0 {
			continue
		}
		if err != nil {
			return // none is left; with a PID namespace, none was
		}
		list, err := childrenOf(os.Getpid())
		children := strings.Fields(list)
		if err != nil || len(children) == 0 {
			return
		}
		for _, child := range children {
			if pid, err := strconv.Atoi(child); err == nil {
				unix.Kill(pid, unix.SIGKILL)
				unix.Wait4(pid, nil, 0, nil)
			}
		}
	}
}

// childrenOf lists the children of all threads of a process (proc_pid_task_tid_children(5)).
func childrenOf(pid int) (string, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, task := range tasks {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if err != nil {
			continue // the thread has ended
		}
		all.Write(data)
	}
	return all.String(), nil
}

// exitCode is the code a shell would give: the command's own, or 128+n for signal n.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// execCode returns the exit code for a command that could not be executed, and 0 for other errors.
func execCode(err error) int {
	var call *kernel.CallError
	if !errors.As(err, &call) {
		return 0
	}
	switch call.Call.Request.(type) {
	case kernel.Exec, kernel.Find:
	default:
		return 0
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return CodeNotFound
	}
	return CodeNotExecutable
}
