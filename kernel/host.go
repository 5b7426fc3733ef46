// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Options say how a program is run. The zero value runs it straight through.
type Options struct {
	// Step, if set, is called before every call of either side, in order; the program stands still
	// until it returns. An error ends the program.
	Step func(Step) error

	// Cloned, if set, is called once, right after the clone: what it does goes on while the container
	// side is at work.
	Cloned func()

	// Slots are descriptors that are open already. They stay open in the caller.
	Slots map[Slot]int
}

// Host runs the host side of a program; requests that are a [Doer] get it.
type Host struct {
	program Program
	options Options
	slots   map[Slot]int8
	regs    *registers
	inside  *table
	walker  *walker
	pid     int
	control int     // our end of the control socket; -1 before the clone
	met     uintptr // the call index of the wait last met
	execed  bool    // the container side has said that it executes
	full    bool    // a descriptor found no slot
	moving  int     // how many of a move's two messages have come
}

// Process is a container's process after its set-up: it runs the container's command.
type Process struct {
	// Pid is its number as the caller sees it.
	Pid int
}

// Wait waits for the process to end and returns how it ended. It is called once.
func (p *Process) Wait() (unix.WaitStatus, error) { return waitFor(p.Pid) }

// waitFor is wait4(2) of one child, begun again when a signal interrupts it.
func waitFor(pid int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if err != unix.EINTR {
			return status, err
		}
	}
}

// Start runs the program: the host side in this process, the container side in a child. It returns
// when the container's command has been executed, or with a [Hold] when the host side is done. After an error nothing is left: the child is
// killed and reaped, descriptors are closed, and what the host side made is undone in reverse.
// An error of one call is a [*CallError].
//
// A parent-death signal that the container side asks for is tied to the calling thread: lock it
// (runtime.LockOSThread) for as long as the container is to live.
func (p Program) Start(o Options) (*Process, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := &Host{program: p, options: o, slots: map[Slot]int8{}, regs: &registers{}, control: -1}
	for s, fd := range o.Slots {
		h.Set(s, fd)
	}
	inside, err := p.assemble(o.Step != nil, h.slots, h.regs)
	if err != nil {
		return nil, err
	}
	h.inside = inside
	defer h.close()
	return h.run()
}

// run goes through the host's calls and then waits for the container's command to be executed.
func (h *Host) run() (*Process, error) {
	for i, call := range h.program.Host {
		step := Step{Side: HostSide, Index: i + 1, Count: len(h.program.Host), Call: call, Pid: h.pid}
		if err := h.do(step); err != nil {
			return nil, h.fail(i, err)
		}
	}
	if h.program.holds() {
		return &Process{Pid: h.pid}, nil
	}
	if err := h.finish(); err != nil {
		return nil, h.fail(len(h.program.Host), err)
	}
	return &Process{Pid: h.pid}, nil
}

// do carries out one call of the host side. A person who steps is asked before it, but at an [Await] after it: meanwhile
// he is asked about the container's calls, as [Program.Steps] has them.
func (h *Host) do(s Step) error {
	_, waits := s.Call.Request.(Await)
	if h.options.Step != nil && !waits {
		if err := h.options.Step(s); err != nil {
			return err
		}
	}
	err := h.request(s.Call)
	if h.options.Step != nil && waits && err == nil {
		return h.options.Step(s)
	}
	var inner *CallError
	if err == nil || errors.As(err, &inner) { // an Await reports the container's failed call
		return err
	}
	for _, e := range s.Call.Ignore {
		if errors.Is(err, e) {
			return nil
		}
	}
	return &CallError{s.Side, s.Index, s.Count, s.Call, err}
}

// request does what a call of the host side asks, in Go or with raw system calls of this process.
func (h *Host) request(call Call) error {
	if d, ok := call.Request.(Doer); ok {
		if err := d.Do(h); err != nil || !h.full {
			return err
		}
		return fmt.Errorf("more than %d slots", maxSlots)
	}
	a := &Assembler{}
	call.Assemble(a)
	t, err := newTable(a, []Call{call}, h.slots, h.regs)
	if err != nil {
		return err
	}
	_, e := newWalker(t, -1).run()
	runtime.KeepAlive(t)
	if e != 0 {
		return errno(e)
	}
	return nil
}

// newWalker returns a walker over t that speaks over the descriptor control.
func newWalker(t *table, control int) *walker {
	w := &walker{regs: t.regs, count: uintptr(len(t.rows)), control: uintptr(control)}
	if len(t.rows) > 0 {
		w.rows = &t.rows[0]
	}
	return w
}

// Set keeps a descriptor in a slot for later calls of both sides. When no slot is left, the descriptor is
// closed and the call that asked for one fails.
func (h *Host) Set(s Slot, fd int) {
	n, ok := h.slots[s]
	if !ok && len(h.slots) == maxSlots {
		h.full = true
		unix.Close(fd)
		return
	}
	if !ok {
		n = int8(len(h.slots))
		h.slots[s] = n
	}
	h.regs[n] = uintptr(fd)
}

// FD returns the descriptor in a slot, and -1 when nothing was kept there.
func (h *Host) FD(s Slot) int {
	n, ok := h.slots[s]
	if !ok {
		return -1
	}
	return int(h.regs[n])
}

// Pid returns the number of the container's process, 0 before the clone.
func (h *Host) Pid() int { return h.pid }

// Expand replaces $pid by the number of the container's process.
func (h *Host) Expand(s string) string { return strings.ReplaceAll(s, "$pid", strconv.Itoa(h.pid)) }

// clone makes the control socket and forks. Packets keep messages whole; SOCK_CLOEXEC makes execve
// close the child's end, which the parent sees as the end of the stream.
func (h *Host) clone(c Clone) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer unix.Close(pair[1])
	cgroup := -1
	if c.Cgroup != "" {
		cgroup = h.FD(c.Cgroup)
	}
	h.walker = newWalker(h.inside, pair[1])
	h.walker.peer = uintptr(pair[0])
	if err := h.walker.planToForget(h.inside); err != nil {
		unix.Close(pair[0])
		return err
	}
	pid, e := h.walker.spawn(c.Flags, cgroup)
	if e != 0 {
		unix.Close(pair[0])
		return e
	}
	h.pid, h.control = pid, pair[0]
	if h.options.Cloned != nil {
		h.options.Cloned()
	}
	return nil
}

// errEnded means that the container side's end of the socket is closed: it executed or died.
var errEnded = errors.New("the container's process closed its socket")

// receive reads one message and acts on those that any reader expects: steps, moves and failures.
// It returns the kind of the others.
func (h *Host) receive() (uintptr, error) {
	for {
		m, err := h.read()
		if err != nil {
			return 0, err
		}
		switch m.kind {
		case msgStep:
			err = h.step(int(m.index))
		case msgMoved:
			err = h.moved(int(m.value))
		case msgArrived:
			err = h.arrived()
		case msgExecuting:
			h.execed = true
			return m.kind, nil
		case msgFailed:
			err = h.failed(int(m.index), errno(m.value))
		case msgMet:
			h.met = m.index
			return m.kind, nil
		default:
			err = fmt.Errorf("the container's process sent an unknown message %d", m.kind)
		}
		if err != nil {
			return 0, err
		}
	}
}

// read reads one message of the container side, and checks the call it names.
func (h *Host) read() (message, error) { return readMessage(h.control, len(h.program.Container)) }

// readMessage reads one message of a container side of so many calls.
func readMessage(from, calls int) (message, error) {
	var m message
	buffer := unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m))
	for {
		n, err := unix.Read(from, buffer)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return m, fmt.Errorf("read from the container's process: %w", err)
		case n == 0:
			return m, errEnded
		case n != len(buffer) || m.index >= uintptr(calls):
			return m, fmt.Errorf("the container's process sent %d bytes that are no message", n)
		}
		return m, nil
	}
}

// step stops before a call of the container side.
func (h *Host) step(call int) error {
	if err := h.options.Step(h.containerStep(call)); err != nil {
		return err
	}
	return h.release()
}

// containerStep returns the step of a call of the container side.
func (h *Host) containerStep(call int) Step {
	return Step{
		Side: ContainerSide, Index: call + 1, Count: len(h.program.Container),
		Call: h.program.Container[call], Pid: h.pid,
	}
}

// moved notes that the program goes on in another process, and reaps the one that made it.
func (h *Host) moved(pid int) error {
	maker := h.pid
	h.pid = pid
	if _, err := waitFor(maker); err != nil {
		return err
	}
	return h.arrived()
}

// arrived lets the process that goes on do so once its number is known: its own message and its
// maker's come in any order.
func (h *Host) arrived() error {
	h.moving++
	if h.moving < 2 {
		return nil
	}
	h.moving = 0
	return h.release()
}

// failed names the call of the container side that failed.
func (h *Host) failed(call int, err error) error {
	s := h.containerStep(call)
	if r, ok := s.Call.Request.(Reporter); ok {
		err = r.Report(h, err)
	}
	return &CallError{s.Side, s.Index, s.Count, s.Call, err}
}

// await reads messages until the container side has come to a waiting point.
func (h *Host) await(point string) error {
	kind, err := h.receive()
	if errors.Is(err, errEnded) {
		return h.died()
	}
	if err != nil {
		return err
	}
	wait, _ := h.program.Container[h.met].Request.(Wait)
	if kind != msgMet || wait.Point != point {
		return fmt.Errorf("the container came to another point: %s", wait.Point)
	}
	return nil
}

// release sends the byte that the container side waits for. MSG_NOSIGNAL: a child that died must
// not kill us with SIGPIPE.
func (h *Host) release() error {
	return unix.Sendto(h.control, []byte{1}, unix.MSG_NOSIGNAL, nil)
}

// finish waits until the container side has executed its command, or ended.
func (h *Host) finish() error {
	for {
		_, err := h.receive()
		switch {
		case err == nil:
		case !errors.Is(err, errEnded):
			return err
		case h.execed || !h.execs():
			return nil
		default:
			return h.died()
		}
	}
}

// execs reports whether the container side ends in an execve at all.
func (h *Host) execs() bool {
	for _, r := range h.inside.rows {
		if r.kind == opExec {
			return true
		}
	}
	return false
}
