// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// The requests of a listener's descriptor (linux/seccomp.h): _IOWR('!', 0, struct seccomp_notif), which has 80 bytes, and
// _IOWR('!', 1, struct seccomp_notif_resp), which has 24.
const (
	notifyReceive = 0xc0502100
	notifySend    = 0xc0182101
)

// answer lets one waiting system call fail with ENOSPC. The answer has the number of the question in its first 8 bytes, as the
// question has; the rest (return value, error, flags) is read over it from a descriptor.
type answer struct{}

func (answer) String() string { return "answer a system call" }
func (answer) Shell() string  { return "" }
func (answer) Assemble(a *kernel.Assembler) {
	question := a.Reserve(80)
	a.Sys(unix.SYS_IOCTL, kernel.FD("listener"), kernel.Int(notifyReceive), question)
	a.Sys(unix.SYS_READ, kernel.FD("answer"), question.At(8), kernel.Int(16))
	a.Sys(unix.SYS_IOCTL, kernel.FD("listener"), kernel.Int(notifySend), question)
	a.Sys(unix.SYS_EXIT_GROUP, kernel.Int(0))
}

// listen plays the program that decides: it takes one listener and answers one system call.
func listen(t *testing.T, agent *net.UnixListener, told chan<- specs.ContainerProcessState) {
	defer close(told)
	listener, state, err := accept(agent)
	if err == nil {
		defer unix.Close(listener)
		told <- state
		err = respond(listener)
	}
	if err != nil {
		t.Errorf("listener: %v", err)
	}
}

// accept receives one descriptor with the state that goes with it.
func accept(agent *net.UnixListener) (int, specs.ContainerProcessState, error) {
	var state specs.ContainerProcessState
	conn, err := agent.AcceptUnix()
	if err != nil {
		return -1, state, err
	}
	defer conn.Close()
	data, control := make([]byte, 4096), make([]byte, 64)
	n, size, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return -1, state, err
	}
	if err := json.Unmarshal(data[:n], &state); err != nil {
		return -1, state, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err != nil || len(messages) != 1 {
		return -1, state, fmt.Errorf("%d control messages: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, state, fmt.Errorf("descriptors %v: %w", fds, err)
	}
	return fds[0], state, nil
}

// respond answers one system call from a child of its own, which makes the raw calls.
func respond(listener int) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	noSpace := int32(unix.ENOSPC)
	if _, err := w.Write(words(0, 0, uint32(-noSpace), 0)); err != nil {
		return err
	}
	p := kernel.Program{Host: []kernel.Call{{Request: kernel.Clone{}}}, Container: []kernel.Call{{Request: answer{}}}}
	child, err := p.Start(kernel.Options{Slots: map[kernel.Slot]int{"listener": listener, "answer": int(r.Fd())}})
	if err != nil {
		return err
	}
	_, err = child.Wait()
	return err
}
