// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// launch is a container that is about to be made.
type launch struct {
	bundle   *Bundle
	options  Options
	facts    Facts
	program  kernel.Program
	claim    *claim
	instance *Instance // nil when it is not kept anywhere
	tty      *terminal // nil when the streams are the caller's own
	restored bool      // CRIU makes the process
	joins    bool      // the process joins a container: the cgroup is not its own
	slots    map[kernel.Slot]int
}

// prepare does everything up to the first change of the machine but the folder in which the container is kept. The turn to
// change cgroups lasts until the caller passes it on.
func prepare(b *Bundle, o Options) (l *launch, err error) {
	l = &launch{bundle: b, options: o, slots: map[kernel.Slot]int{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.abandon())
		}
	}()
	if err := sealProgram(b.Spec, o.Hold); err != nil {
		return l, err
	}
	if o.Root != "" {
		if l.instance, err = newInstance(o.Root, o.ID); err != nil {
			return l, err
		}
		l.options.Folder = l.instance.folder
	}
	if l.claim, err = newClaim(claims()); err != nil {
		return l, err
	}
	if l.facts, err = ReadFacts(b, o); err != nil {
		return l, err
	}
	l.yield()
	if err := l.terminal(); err != nil {
		return l, err
	}
	if o.Hold {
		if err := l.listen(); err != nil {
			return l, err
		}
	}
	if l.program, err = Plan(b, l.facts, l.options); err != nil {
		return l, err
	}
	l.planned()
	if l.instance == nil {
		return l, nil
	}
	l.instance.record = newRecord(b, l.facts, o, l.program.Rest())
	return l, l.instance.save(b)
}

// planned tells of the program, if the caller wants that.
func (l *launch) planned() {
	if l.options.Planned == nil {
		return
	}
	for _, step := range l.program.Steps() {
		l.options.Planned(step)
	}
}

// yield leaves out limits that the caller has no cgroup for, if he wants that.
func (l *launch) yield() {
	if r := l.bundle.Spec.Linux.Resources; l.options.Rootless && len(l.facts.Group.Folders) == 0 && hasLimits(r) {
		l.bundle.Spec.Linux.Resources = nil
		l.options.notify("linux.resources: the limits are left out: this user has no cgroup to set them in")
	}
}

// terminal prepares the other end of the container's terminal: a socket of the caller's, or our own.
func (l *launch) terminal() (err error) {
	wants, path := l.bundle.Spec.Process.Terminal, l.options.ConsoleSocket
	switch {
	case wants && path == "" && (l.options.Hold || l.options.Detach):
		return errors.New("process.terminal: nobody would hold the other end of the terminal; give --console-socket, a socket that takes it")
	case !wants && path != "":
		return errors.New("--console-socket: the configuration asks for no terminal (process.terminal)")
	case wants && path != "":
		fd, err := dial(path, unix.SOCK_STREAM)
		if err != nil {
			return fmt.Errorf("--console-socket: %w", err)
		}
		l.slots[slotConsole] = fd
		return nil
	}
	if l.tty, err = newTerminal(l.bundle.Spec); l.tty != nil {
		l.slots[slotConsole] = l.tty.theirs
	}
	return err
}

// listen makes the socket on which the container's process waits for its start.
func (l *launch) listen() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket to wait on for the start: %w", err)
	}
	l.slots[slotStart] = fd
	if err := unix.Fchmod(fd, 0o600); err != nil { // whoever connects starts the container, and the umask may be anything
		return fmt.Errorf("keep others from the socket for the start: %w", err)
	}
	name := fmt.Sprintf("/proc/self/fd/%d/%s", l.instance.dir, startName) // a socket's path has 107 bytes at most
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: name}), unix.Listen(fd, 1)); err != nil {
		return fmt.Errorf("wait on %s for the start: %w", l.instance.path(startName), err)
	}
	return nil
}

// dial connects to a unix socket.
func dial(path string, kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "connect to", Path: path, Err: err}
	}
	return fd, nil
}

// release closes what is only needed until the container's process has it.
func (l *launch) release() {
	for slot, fd := range l.slots {
		if l.tty == nil || slot != slotConsole {
			unix.Close(fd)
		}
	}
	l.slots = nil
}

// leave ends what is left in the container's cgroup, and removes it.
func (l *launch) leave() error {
	if l.joins {
		return nil
	}
	return l.facts.leave()
}

// abandon takes back what prepare did, or what is left of a container that has ended.
func (l *launch) abandon() error {
	l.release()
	l.tty.close()
	var errs []error
	if l.instance != nil {
		errs = append(errs, l.instance.remove(), l.instance.Close())
	}
	if l.claim != nil {
		errs = append(errs, l.claim.end())
	}
	return errors.Join(errs...)
}
