// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// RuntimeHook runs a hook in the runtime's namespaces, with the state of the container on its standard input.
type RuntimeHook struct {
	// Point is the hook's list in the configuration, Number its place there, counted from 1.
	Point  string
	Number int
	Hook   specs.Hook
	// State is the container's, without the number of its process, which only the run knows.
	State specs.State
}

// String names the hook.
func (r RuntimeHook) String() string { return hookWords(r.Point, r.Number, r.Hook) }

// Shell is the command with the state in a pipe.
func (r RuntimeHook) Shell() string { return hookShell(r.State, "$pid", "", r.State.Bundle, r.Hook) }

// Assemble adds nothing: Do runs the hook.
func (r RuntimeHook) Assemble(*kernel.Assembler) {}

// Do runs the hook to its end.
func (r RuntimeHook) Do(h *kernel.Host) error {
	state := r.State
	state.Pid = h.Pid()
	return runHook(r.Hook, state)
}

// HookFiles opens what the hooks inside will read and write. It is done before the clone.
type HookFiles struct {
	// States are the slots of the files that the state is written into.
	States []kernel.Slot
}

// String says what the files are for.
func (f HookFiles) String() string { return "open files for the hooks' input and output" }

// Shell is empty: a script has pipes.
func (f HookFiles) Shell() string { return "" }

// Assemble is memfd_create(2), for each file.
func (f HookFiles) Assemble(a *kernel.Assembler) {
	for _, slot := range append(slices.Clone(f.States), slotHookOutput) {
		a.Sys(unix.SYS_MEMFD_CREATE, kernel.Str(string(slot)), kernel.Int(unix.MFD_CLOEXEC)).Into(slot)
	}
}

// HookState writes the state of the container for the hooks inside.
type HookState struct {
	Slot  kernel.Slot
	State specs.State
}

// String says which state.
func (s HookState) String() string {
	return fmt.Sprintf("write the state of the container, %s, for its hooks", s.State.Status)
}

// Shell is empty: a script has pipes.
func (s HookState) Shell() string { return "" }

// Assemble adds nothing: Do writes.
func (s HookState) Assemble(*kernel.Assembler) {}

// Do writes the state with the number that the process has in its own PID namespace (runtime.md, "State").
func (s HookState) Do(h *kernel.Host) error {
	state := s.State
	var err error
	if state.Pid, err = pidInside(h.Pid()); err != nil {
		return err
	}
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	_, err = unix.Pwrite(h.FD(s.Slot), data, 0)
	return err
}

// ContainerHook runs a hook in the container's namespaces: the container's process makes a child, which becomes the hook,
// and waits for it.
type ContainerHook struct {
	// Point is the hook's list in the configuration, Number its place there, counted from 1.
	Point  string
	Number int
	Hook   specs.Hook
	// Dir is where the hook starts; "" is where the container's process is.
	Dir string
	// Input holds the file with the state.
	Input kernel.Slot
	// State is what is written there, without the number of the process.
	State specs.State
	// As are calls that the child makes for itself: they take rights away.
	As []kernel.Call
}

// String names the hook.
func (c ContainerHook) String() string { return hookWords(c.Point, c.Number, c.Hook) }

// Shell is the command with the state in a pipe. In a script the container's process is the shell.
func (c ContainerHook) Shell() string { return c.shell("", "") }

// shell is the command with words before the programs env(1) and timeout(1).
func (c ContainerHook) shell(beforeEnv, beforeTimeout string) string {
	text := hookShell(c.State, "$$", beforeEnv, c.Dir, c.Hook)
	return strings.Replace(text, "| timeout ", "| "+beforeTimeout+"timeout ", 1)
}

// Assemble forks, executes, waits, and looks how the hook ended. A hook that may not take long is waited for with
// epoll_wait(2) on its descriptor (pidfd_open(2)); the kill then comes too late, or just in time.
func (c ContainerHook) Assemble(a *kernel.Assembler) {
	const child, process, poll kernel.Slot = "hook", "hook-process", "hook-poll"
	status := a.Reserve(8)
	a.Sys(unix.SYS_LSEEK, kernel.FD(c.Input), kernel.Int(0), kernel.Int(unix.SEEK_SET))
	a.Sys(unix.SYS_FTRUNCATE, kernel.FD(slotHookOutput), kernel.Int(0))
	a.Sys(unix.SYS_LSEEK, kernel.FD(slotHookOutput), kernel.Int(0), kernel.Int(unix.SEEK_SET))
	a.Aside(child, func() {
		const mask = 0o022 // the set-up's own is 0
		a.Sys(unix.SYS_UMASK, kernel.Int(mask))
		hookProcess{Hook: c.Hook, Dir: c.Dir, Input: c.Input, Output: slotHookOutput, As: c.As}.Assemble(a)
	})
	if c.Hook.Timeout != nil {
		event := a.Reserve(16)
		wanted := kernel.Bytes([]byte{unix.EPOLLIN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		a.Sys(unix.SYS_PIDFD_OPEN, kernel.FD(child), kernel.Int(0)).Into(process)
		a.Sys(unix.SYS_EPOLL_CREATE1, kernel.Int(unix.EPOLL_CLOEXEC)).Into(poll)
		a.Sys(unix.SYS_EPOLL_CTL, kernel.FD(poll), kernel.Int(unix.EPOLL_CTL_ADD), kernel.FD(process), wanted)
		a.Sys(unix.SYS_EPOLL_PWAIT, kernel.FD(poll), event, kernel.Int(1), kernel.Int(milliseconds(*c.Hook.Timeout)), kernel.Int(0), kernel.Int(8))
		a.Sys(unix.SYS_PIDFD_SEND_SIGNAL, kernel.FD(process), kernel.Int(int(unix.SIGKILL)), kernel.Int(0), kernel.Int(0)).Ignore(unix.ESRCH)
		a.Close(poll)
		a.Close(process)
	}
	a.Sys(unix.SYS_WAIT4, kernel.FD(child), status, kernel.Int(0), kernel.Int(0))
	a.Exited(status)
}

// Report says why the hook ended and what it wrote.
func (c ContainerHook) Report(h *kernel.Host, err error) error {
	return hookError(c.Hook, h.FD(slotHookOutput), err)
}

// milliseconds turns seconds into what epoll_wait(2) takes.
func milliseconds(seconds int) int { return min(seconds, math.MaxInt32/1000) * 1000 }

// hookProcess turns a process into a hook: the last call of a child.
type hookProcess struct {
	Hook          specs.Hook
	Dir           string
	Input, Output kernel.Slot
	As            []kernel.Call
}

// String names the program.
func (p hookProcess) String() string { return "execute " + kernel.Quote(hookArgs(p.Hook)...) }

// Shell is empty: see [RuntimeHook] and [ContainerHook].
func (p hookProcess) Shell() string { return "" }

// Assemble connects the standard streams, lets no other descriptor through, and executes. The configuration's own
// arguments and environment are all there is (execve(2)).
func (p hookProcess) Assemble(a *kernel.Assembler) {
	for fd, slot := range []kernel.Slot{p.Input, p.Output, p.Output} {
		a.Sys(unix.SYS_DUP3, kernel.FD(slot), kernel.Int(fd), kernel.Int(0))
	}
	if p.Dir != "" {
		a.Sys(unix.SYS_CHDIR, kernel.Str(p.Dir))
	}
	a.CloseUnused(0) // its path may lead through them
	a.CloseAll(0)
	for _, call := range p.As {
		call.Assemble(a)
	}
	a.Exec([]string{p.Hook.Path}, hookArgs(p.Hook), p.Hook.Env)
}

// hookArgs are the arguments of a hook, the first being its name: the path, unless the configuration says otherwise.
func hookArgs(h specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// hookWords name a hook: "run the createRuntime hook 1, /bin/hook: hook --option".
func hookWords(point string, number int, h specs.Hook) string {
	words := fmt.Sprintf("run the %s hook %d, %s", point, number, kernel.Quote(h.Path))
	if len(h.Args) > 1 {
		words += ": " + strings.ReplaceAll(kernel.Quote(h.Args...), "\n", `\n`) // an error is one line
	}
	if h.Timeout != nil {
		words += fmt.Sprintf(", for %d s at most", *h.Timeout)
	}
	return words
}

// hookShell is the command of a hook with the state, and the process's number in it, on its standard input.
func hookShell(state specs.State, pid, enter, dir string, h specs.Hook) string {
	text, err := json.Marshal(state)
	if err != nil || len(text) == 0 {
		return ""
	}
	command := enter + "env -i "
	if dir != "" {
		command += "-C " + kernel.Quote(dir) + " "
	}
	if h.Timeout != nil {
		command = fmt.Sprintf("timeout -s KILL %d %s", *h.Timeout, command)
	}
	words := slices.Concat(h.Env, []string{h.Path}, hookArgs(h)[1:])
	open := kernel.Quote(string(text[:len(text)-1]) + `,"pid":`)
	return fmt.Sprintf("printf '%%s%%s}' %s %s | %s%s", open, pid, command, kernel.Quote(words...))
}
