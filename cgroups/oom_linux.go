// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// OOMKills returns how many processes of the group and of those below it the kernel has killed since it was made, because
// there was no memory left for them. Version 1 counts in each group for itself, so what was killed in a group below that
// is removed by now is not in the sum. It needs Linux 4.13.
func (g Group) OOMKills() (uint64, error) {
	f, err := g.memory()
	if err != nil {
		return 0, err
	}
	return f.oomKills()
}

// WatchOOM returns a channel that gets one value for each process that the kernel kills from now on for want of memory:
// the number that [Group.OOMKills] then has. It is closed when the group is removed, when ctx ends, or when its files
// can no longer be read. Who watches cancels ctx and receives until the channel is closed: then nothing is left running.
// A kill just before the removal may not come any more; ask OOMKills before.
//
// Version 1 announces that memory ran out at the limit of this group or of one above, by an eventfd
// (cgroup-v1/memory.rst, "OOM Control"); what is killed at the limit of a group below comes with the next one. Version 2
// announces every change of memory.events.
func (g Group) WatchOOM(ctx context.Context) (<-chan uint64, error) {
	f, err := g.memory()
	if err != nil {
		return nil, err
	}
	w := &oomWatch{folder: f, signal: -1, stop: -1}
	if err := w.open(); err != nil {
		w.close()
		return nil, fmt.Errorf("watch for processes killed in %s: %w", f.Path, err)
	}
	kills := make(chan uint64)
	go w.run(ctx, kills)
	return kills, nil
}

// memory is the folder that counts memory.
func (g Group) memory() (Folder, error) {
	f, ok := g.Folder("memory")
	if !ok {
		return f, errors.New("the container has no cgroup that counts memory: mount the v1 controller memory or cgroup2")
	}
	return f, nil
}

// oomFile is the file that counts killed processes.
func (f Folder) oomFile() string {
	if f.Version == 2 {
		return f.File("memory.events")
	}
	return f.File("memory.oom_control")
}

// oomKills adds up what the files say: in version 2 that of the group counts those below it as well.
func (f Folder) oomKills() (uint64, error) {
	tree := []Folder{f}
	if f.Version == 1 {
		below, err := f.tree()
		if err != nil {
			return 0, err
		}
		tree = append(tree, below[min(1, len(below)):]...)
	}
	var sum uint64
	for i, nested := range tree {
		text, err := kernel.ReadFile(nested.oomFile())
		if i > 0 && gone(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := parseOOM(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", nested.oomFile(), err)
		}
		sum += n
	}
	return sum, nil
}

// oomWatch is what the goroutine of WatchOOM owns.
type oomWatch struct {
	folder   Folder
	counter  announcer // the file that counts; an error once the group is removed
	events   announcer // cgroup.events of version 2
	signal   int       // the eventfd that version 1 writes
	stop     int       // the eventfd that is written when ctx ends
	known    uint64    // how many kills were sent, or were there from the start
	signaled time.Time // when version 1 wrote last
}

// open opens the files and tells a kernel of version 1 where to write.
func (w *oomWatch) open() (err error) {
	w.counter.fd, w.events.fd = -1, -1
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if w.counter, err = announce(w.folder.oomFile()); err != nil {
		return err
	}
	if w.folder.Version == 2 {
		w.events, err = announce(w.folder.File("cgroup.events"))
	} else if w.signal, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = store(w.folder.File("cgroup.event_control"), fmt.Sprintf("%d %d", w.signal, w.counter.fd))
	}
	if err == nil {
		w.known, err = w.folder.oomKills()
	}
	return err
}

// close closes what open opened.
func (w *oomWatch) close() {
	for _, fd := range []int{w.counter.fd, w.events.fd, w.signal, w.stop} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// run sends each kill. Closing the channel is the last that it does.
func (w *oomWatch) run(ctx context.Context, kills chan<- uint64) {
	defer close(kills)
	defer w.close()
	written := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(written)
		unix.Write(w.stop, binary.NativeEndian.AppendUint64(nil, 1))
	})
	defer func() {
		if !unhook() {
			<-written
		}
	}()
	for ctx.Err() == nil {
		if _, err := w.counter.text(); err != nil { // also when a new group has the same name
			return
		}
		now, err := w.folder.oomKills()
		if err != nil {
			return
		}
		for ; w.known < now; w.known++ {
			select {
			case kills <- w.known + 1:
			case <-ctx.Done():
				return
			}
		}
		w.known = now // less than before if a group below was removed
		if w.next() != nil {
			return
		}
	}
}

// next waits for something that may have changed the counter or ended the watch.
func (w *oomWatch) next() error {
	limit := time.Duration(-1)
	stop := unix.PollFd{Fd: int32(w.stop), Events: unix.POLLIN}
	if w.folder.Version == 2 {
		text, err := w.events.text()
		if err != nil {
			return err
		}
		// Only an empty group can be removed, and that is not announced.
		if events, err := parseKeyed(text); err != nil || events["populated"] == 0 {
			limit = 100 * time.Millisecond
		}
		return wait(limit, stop,
			unix.PollFd{Fd: int32(w.counter.fd), Events: unix.POLLPRI}, unix.PollFd{Fd: int32(w.events.fd), Events: unix.POLLPRI})
	}
	text, err := w.counter.text()
	if err != nil {
		return err
	}
	limit = oomPause(time.Since(w.signaled), text)
	err = wait(limit, stop, unix.PollFd{Fd: int32(w.signal), Events: unix.POLLIN})
	if _, failed := unix.Read(w.signal, make([]byte, 8)); failed == nil {
		w.signaled = time.Now()
	}
	return err
}

// oomPause is how long to wait before the counter of version 1 is read again, a time after the eventfd was written: the
// kernel writes that when it starts to look for a victim, and counts when that one is killed. In between it prints a report,
// which takes seconds on a slow console. While memory.oom_control says "under_oom 1", processes wait for memory. A negative
// pause is one without end.
func oomPause(since time.Duration, control string) time.Duration {
	state, err := parseKeyed(control)
	switch {
	case since < time.Second:
		return 5 * time.Millisecond
	case since < time.Minute, err == nil && state["under_oom"] == 1:
		return 100 * time.Millisecond
	}
	return -1
}
