// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Poststart runs the hooks that follow the start of a container's command, and stops at the first one that fails: the
// container is to be stopped then (runtime.md, "Lifecycle", step 9). The state needs an ID and a Pid.
func (b *Bundle) Poststart(state specs.State) error {
	for i, hook := range hooksAt(b.Spec.Hooks, pointPoststart) {
		if err := runHook(hook, b.stateOf(state, specs.StateRunning)); err != nil {
			return fmt.Errorf("%s: %w", hookWords(pointPoststart, i+1, hook), err)
		}
	}
	return nil
}

// Poststop runs the hooks that follow the deletion of a container. One that fails is a reason for a warning, no more, and
// the others are run all the same (runtime.md, "Lifecycle", step 13).
func (b *Bundle) Poststop(state specs.State) (warnings []error) {
	state.Pid = 0
	for i, hook := range hooksAt(b.Spec.Hooks, pointPoststop) {
		if err := runHook(hook, b.stateOf(state, specs.StateStopped)); err != nil {
			warnings = append(warnings, fmt.Errorf("%s: %w", hookWords(pointPoststop, i+1, hook), err))
		}
	}
	return warnings
}

// stateOf fills in what a bundle knows of its container's state.
func (b *Bundle) stateOf(s specs.State, status specs.ContainerState) specs.State {
	s.Version, s.Status, s.Bundle, s.Annotations = specs.Version, status, b.Dir, b.Spec.Annotations
	return s
}

// Slots of the program that runs a hook in the runtime's namespaces.
const (
	slotInput  kernel.Slot = "input"
	slotOutput kernel.Slot = "output"
)

// runHook runs a hook in the namespaces of the caller, from the bundle's folder, and waits for its end. What it writes is
// shown in the error alone.
func runHook(hook specs.Hook, state specs.State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	input, err := unix.MemfdCreate("hook-state", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	defer unix.Close(input)
	output, err := unix.MemfdCreate("hook-output", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	defer unix.Close(output)
	if _, err := unix.Pwrite(input, text, 0); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	process, err := hookProgram(hook, state.Bundle).Start(kernel.Options{Slots: map[kernel.Slot]int{slotInput: input, slotOutput: output}})
	if call, ok := errors.AsType[*kernel.CallError](err); ok {
		return call.Err
	} else if err != nil {
		return err
	}
	status, err := waitForHook(process, hook.Timeout)
	if err != nil || status == 0 {
		return err
	}
	return hookError(hook, output, &kernel.ExitError{Status: status})
}

// hookProgram makes a process for a hook outside of containers.
func hookProgram(hook specs.Hook, dir string) kernel.Program {
	return kernel.Program{
		Host: []kernel.Call{{Request: kernel.Clone{}, Why: "a process for the hook"}},
		Container: []kernel.Call{
			{Request: kernel.ResetSignals{}, Why: "a signal ignored by the starter would stay ignored in the hook"},
			{Request: hookProcess{Hook: hook, Dir: dir, Input: slotInput, Output: slotOutput}, Why: "the process becomes the hook"},
		},
	}
}

// waitForHook waits for a process, and kills it when its time, in seconds, is over.
func waitForHook(process *kernel.Process, timeout *int) (unix.WaitStatus, error) {
	if timeout == nil {
		return process.Wait()
	}
	fd, err := unix.PidfdOpen(process.Pid, 0)
	if err == nil {
		defer unix.Close(fd)
		err = waitReadable(fd, time.Now().Add(time.Duration(milliseconds(*timeout))*time.Millisecond))
	}
	unix.Kill(process.Pid, unix.SIGKILL) // it is not reaped yet: the number is still its own
	status, waited := process.Wait()
	return status, errors.Join(err, waited)
}

// waitReadable waits until a descriptor can be read, or until a moment has come.
func waitReadable(fd int, until time.Time) error {
	for {
		rest := max(0, int(time.Until(until).Milliseconds()))
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, rest)
		if err != unix.EINTR {
			return err
		}
	}
}

// hookError adds to the end of a hook what it means, and the last of what it wrote.
func hookError(hook specs.Hook, output int, err error) error {
	exit, ok := errors.AsType[*kernel.ExitError](err)
	switch {
	case !ok:
		return err
	case hook.Timeout != nil && exit.Status.Signaled() && exit.Status.Signal() == unix.SIGKILL:
		err = fmt.Errorf("it did not end within %d s and was %w", *hook.Timeout, err)
	case exit.Status.ExitStatus() == CodeNotFound:
		err = fmt.Errorf("%w (is it there, with the interpreter or loader that it names, and can it be executed?)", err)
	}
	if text := lastLines(output); text != "" {
		err = fmt.Errorf("%w; it wrote %q", err, text)
	}
	return err
}

// lastLines returns the last five lines of a file, or the end of them.
func lastLines(fd int) string {
	const most, lines = 2048, 5
	var st unix.Stat_t
	if fd < 0 || unix.Fstat(fd, &st) != nil {
		return ""
	}
	buffer := make([]byte, most)
	n, err := unix.Pread(fd, buffer, max(0, st.Size-most))
	if err != nil || n <= 0 {
		return ""
	}
	list := strings.Split(strings.TrimSpace(string(buffer[:n])), "\n")
	return strings.Join(list[max(0, len(list)-lines):], "\n")
}

// pidInside returns the number that a process has in its own PID namespace: the last of the line in its status file, which
// has one for each namespace from the caller's to the process's own (proc_pid_status(5)).
//
//	NSpid:	4711	1
//	1       2       3
func pidInside(pid int) (int, error) {
	name := fmt.Sprintf("/proc/%d/status", pid)
	data, err := kernel.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(list)
			return strconv.Atoi(fields[len(fields)-1])
		}
	}
	return 0, fmt.Errorf("%s has no line NSpid", name)
}
