// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// slotStart holds the socket on which the container's process waits for its start.
const slotStart kernel.Slot = "start"

// Create makes the container of a bundle, up to but not including its command, and keeps it below o.Root. Its process
// waits for [Instance.Start]. After an error nothing is left.
func Create(b *Bundle, o Options) error {
	o.Hold = true
	l, err := prepare(b, o)
	if err != nil {
		return err
	}
	if _, err := l.program.Start(kernel.Options{Slots: l.slots, Cloned: l.claim.pass}); err != nil {
		return errors.Join(explain(err), l.abandon())
	}
	l.release()
	l.claim.pass()
	return l.instance.Close()
}

// Start lets the command of a created container run. An error of its execution is a [*kernel.StartError].
func (i *Instance) Start() error {
	if err := i.relock(); err != nil {
		return err
	}
	s, err := i.stateLocked()
	if err != nil {
		return err
	}
	switch s.Status {
	case "created":
	case "stopped":
		return fmt.Errorf("cannot start a container that has stopped: %s", i.ID)
	default:
		return fmt.Errorf("cannot start an already running container: %s is %s", i.ID, s.Status)
	}
	socket, err := dial(fmt.Sprintf("/proc/self/fd/%d/%s", i.dir, startName), unix.SOCK_SEQPACKET)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	// From here on it counts as running: the socket's file goes before the command comes.
	ready := func() error { return unix.Unlinkat(i.dir, startName, 0) }
	if err := kernel.Resume(socket, i.Rest, ready); err != nil {
		return err
	}
	i.unlock() // a hook may take long
	return i.poststart(s)
}

// poststart runs the hooks that follow the start. When one of them fails the container is killed.
func (i *Instance) poststart(s State) error {
	if !i.Hooked {
		return nil
	}
	b, err := i.bundle()
	if err != nil {
		return err
	}
	if err := b.Poststart(s.Spec()); err != nil {
		return errors.Join(err, i.end())
	}
	return nil
}
