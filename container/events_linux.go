// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Usage reads what a container uses that has not ended.
func (i *Instance) Usage() (*Usage, error) {
	s, err := i.look()
	if err != nil {
		return nil, err
	}
	if s.Pid == 0 {
		return nil, fmt.Errorf("container with id %s is not running: it is %s", i.ID, s.Status)
	}
	if err := i.grouped("tell what it uses"); err != nil {
		return nil, err
	}
	return usage(i.Cgroup)
}

// Events tells what a container uses each time an interval is over, and when the kernel killed a process of it for want of
// memory, until the container ends, or until telling is an error. A container without a controller of memory has no
// events of that kind.
func (i *Instance) Events(interval time.Duration, tell func(Event) error) error {
	if _, err := i.Usage(); err != nil {
		return err
	}
	l, _, err := i.life()
	if err != nil {
		return err
	}
	ended, stop, err := l.end()
	if err != nil {
		return err
	}
	defer stop()
	w := i.watch()
	defer w.stop()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case n, ok := <-w.kills:
			if !ok {
				w.kills = nil // the group is gone, or is about to go
				continue
			}
			err = w.reach(n, tell)
		case <-ticker.C:
			err = i.tellUsage(tell)
		case <-ended:
			return w.rest(tell)
		}
		if err != nil {
			return err
		}
	}
}

// tellUsage tells what the container uses now, unless it has just ended.
func (i *Instance) tellUsage(tell func(Event) error) error {
	u, err := usage(i.Cgroup)
	if err != nil {
		if l, _, _ := i.life(); !l.alive() {
			return nil
		}
		return err
	}
	return tell(Event{Type: "stats", ID: i.ID, Data: u})
}

// end returns a channel that is closed when a process has ended, and what is to be called when nobody waits for that any more.
func (l life) end() (ended <-chan struct{}, stop func(), err error) {
	fd, err := unix.PidfdOpen(l.pid, unix.PIDFD_NONBLOCK)
	if err != nil && err != unix.ESRCH {
		return nil, nil, fmt.Errorf("watch process %d: %w", l.pid, err)
	}
	over := make(chan struct{})
	if err == unix.ESRCH || !l.alive() {
		if err == nil {
			unix.Close(fd)
		}
		close(over)
		return over, func() {}, nil
	}
	file := os.NewFile(uintptr(fd), "pidfd") // non-blocking, so that the close below ends the wait
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	go func() {
		defer close(over)
		conn.Read(func(uintptr) bool { return !l.alive() })
	}()
	return over, func() {
		file.Close()
		<-over
	}, nil
}

// oomWatch counts the processes that the kernel killed for want of memory, and tells of each once.
type oomWatch struct {
	instance *Instance
	kills    <-chan uint64 // the count after each, nil where there is no such controller
	told     uint64        // the count that was reached
	cancel   context.CancelFunc
	all      <-chan uint64 // kills, as it was
}

// watch begins to watch the container's group.
func (i *Instance) watch() *oomWatch {
	w := &oomWatch{instance: i, cancel: func() {}}
	count, err := i.Cgroup.OOMKills()
	if err != nil {
		return w
	}
	ctx, cancel := context.WithCancel(context.Background())
	kills, err := i.Cgroup.WatchOOM(ctx)
	if err != nil {
		cancel()
		return w
	}
	w.told, w.cancel, w.kills, w.all = count, cancel, kills, kills
	return w
}

// reach tells of each kill up to a count.
func (w *oomWatch) reach(count uint64, tell func(Event) error) error {
	for ; w.told < count; w.told++ {
		if err := tell(Event{Type: "oom", ID: w.instance.ID}); err != nil {
			return err
		}
	}
	return nil
}

// rest tells of kills that nobody has told of yet: that of the container's own first process may be one.
func (w *oomWatch) rest(tell func(Event) error) error {
	if w.all == nil {
		return nil
	}
	count, err := w.instance.Cgroup.OOMKills()
	if err != nil {
		return nil //nolint:nilerr // the group is gone by now, and the count with it
	}
	return w.reach(count, tell)
}

// stop ends the watch.
func (w *oomWatch) stop() {
	w.cancel()
	for w.all != nil {
		if _, ok := <-w.all; !ok {
			return
		}
	}
}
