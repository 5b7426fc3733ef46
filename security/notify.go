// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// The slots in which the way of a listener's descriptor is kept: the descriptor itself, known only in the container's process,
// and the two ends of a socket pair.
const (
	slotListener kernel.Slot = "seccomp listener"
	slotOutside  kernel.Slot = "seccomp socket, host's end"
	slotInside   kernel.Slot = "seccomp socket, container's end"
)

// handOver is the point at which the container's process waits until the listener is where it belongs: its very next call may be
// one that the listener decides about.
const handOver = "the seccomp listener is handed over"

// Listener says who decides about the calls with SCMP_ACT_NOTIFY: a program that waits at a unix stream socket
// (seccomp_unotify(2)), and what it is told (OCI runtime specification, config-linux.md, "The Container Process State").
type Listener struct {
	Path     string
	Metadata string
	// State is the container's; its Pid and Status are filled in.
	State specs.State
}

// Handover is how a listener's descriptor gets from the process that installs the filter to the program that listens. Only the
// host knows the process by the number that the listener must be told, so it goes through the host.
type Handover struct {
	// Before is for the host side, before the clone.
	Before []kernel.Call
	// Inside is for the container side, right behind [Seccomp].
	Inside []kernel.Call
	// After is for the host side, where it meets the container side there.
	After []kernel.Call
}

// Notify plans how the listener of a filter is handed over. It is empty for a filter that has none.
func (f *Filter) Notify(l Listener) Handover {
	if !f.Listens {
		return Handover{}
	}
	return Handover{
		Before: []kernel.Call{{Request: openPair{}, Why: "the container's process sends the listener's descriptor through it"}},
		Inside: []kernel.Call{
			{Request: sendListener{}, Why: "the program that decides about system calls reads them from this descriptor"},
			{Request: kernel.Wait{Point: handOver}, Why: "the next call may be one that waits for a decision"},
		},
		After: []kernel.Call{
			{Request: kernel.Await{Point: handOver}, Why: "the descriptor is there once the container has come here"},
			{Request: forwardListener{l}, Why: "only the host knows the container's process by its number here"},
			{Request: kernel.Release{Point: handOver}, Why: "the container goes on under its filter"},
		},
	}
}

// openPair makes a pair of connected sockets.
type openPair struct{}

// String says what it does.
func (openPair) String() string { return "make a socket pair for the seccomp listener" }

// Shell is empty: descriptors can't be sent from a shell.
func (openPair) Shell() string { return "" }

// Assemble adds nothing: Do works.
func (openPair) Assemble(*kernel.Assembler) {}

// Do makes the pair. Both ends are close-on-exec; the container's process has them by its fork.
func (openPair) Do(h *kernel.Host) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	h.Set(slotOutside, pair[0])
	h.Set(slotInside, pair[1])
	return nil
}

// sendListener sends the descriptor to the host.
type sendListener struct{}

// String says what it does.
func (sendListener) String() string { return "send the seccomp listener to the host" }

// Shell is empty: descriptors can't be sent from a shell.
func (sendListener) Shell() string { return "" }

// Assemble adds sendmsg(2) of one byte with the descriptor as SCM_RIGHTS (unix(7), cmsg(3)); every field is a word of 8 bytes:
//
//	struct msghdr { name, namelen; iov, iovlen; control, controllen; flags }
//	struct cmsghdr { size_t len; int level, type; } and an int with padding
func (sendListener) Assemble(a *kernel.Assembler) {
	zero := kernel.Int(0)
	data := kernel.Struct(kernel.Bytes([]byte{0}), kernel.Int(1))
	rights := binary.NativeEndian.Uint64(words(unix.SOL_SOCKET, unix.SCM_RIGHTS))
	control := kernel.Struct(kernel.Int(unix.CmsgLen(4)), kernel.Int(rights), kernel.FD(slotListener))
	message := kernel.Struct(zero, zero, data, kernel.Int(1), control, kernel.Int(unix.CmsgSpace(4)), zero)
	a.Sys(unix.SYS_SENDMSG, kernel.FD(slotInside), message, kernel.Int(unix.MSG_NOSIGNAL))
	a.Close(slotListener)
}

// forwardListener passes the descriptor on to the listening program.
type forwardListener struct{ Listener }

// String shows the socket.
func (f forwardListener) String() string { return "send the seccomp listener to " + f.Path }

// Shell is empty: descriptors can't be sent from a shell.
func (forwardListener) Shell() string { return "" }

// Assemble adds nothing: Do works.
func (forwardListener) Assemble(*kernel.Assembler) {}

// Do receives the descriptor, connects to the listener's socket and sends the descriptor with the process state.
func (f forwardListener) Do(h *kernel.Host) error {
	listener, err := receive(h.FD(slotOutside))
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	message, err := f.message(h.Pid())
	if err != nil {
		return err
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: f.Path}); err != nil {
		return err
	}
	return unix.Sendmsg(socket, message, unix.UnixRights(listener), nil, unix.MSG_NOSIGNAL)
}

// message is the JSON that goes with the descriptor.
func (f forwardListener) message(pid int) ([]byte, error) {
	state := f.State
	state.Pid, state.Status = pid, specs.StateCreating
	return json.Marshal(specs.ContainerProcessState{
		Version: state.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: f.Metadata, State: state,
	})
}

// receive takes the one descriptor that the container's process has sent.
func receive(socket int) (int, error) {
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.New("the container's process sent no descriptor")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}
