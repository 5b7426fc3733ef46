// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
	"stave/chroot"
)

// Errors that callers tell apart. Engines look for these words, which are runc's, in what a runtime prints.
var (
	ErrNotExist   = errors.New("container does not exist")
	ErrExist      = errors.New("container with given ID already exists")
	ErrNotRunning = errors.New("container not running")
	ErrNotPaused  = errors.New("container not paused")
)

// Paused is the status of a container whose processes are frozen; the specification leaves it to runtimes.
const Paused specs.ContainerState = "paused"

// State is what a container is at one moment (OCI runtime.md, "State"), with what runc says besides.
type State struct {
	Version string `json:"ociVersion"`
	ID      string `json:"id"`
	// Pid is the container's first process as the caller sees it, 0 when there is none.
	Pid    int                  `json:"pid"`
	Status specs.ContainerState `json:"status"`
	Bundle string               `json:"bundle"`
	Rootfs string               `json:"rootfs"`
	// Created is when the creation began.
	Created time.Time `json:"created"`
	// Owner is the name of the user who made it.
	Owner       string            `json:"owner"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec returns the state in the form that hooks get.
func (s State) Spec() specs.State {
	return specs.State{Version: s.Version, ID: s.ID, Status: s.Status, Pid: s.Pid, Bundle: s.Bundle, Annotations: s.Annotations}
}

// record is what is kept of a container in its folder, in state.json: all that is known before its process exists.
type record struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	UID         int               `json:"uid"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Hooked tells that the configuration has hooks: else those who come later need not read it.
	Hooked bool `json:"hooked,omitempty"`
	// Cgroup is the container's group, and Unit the unit of systemd that it is of, if it is one.
	Cgroup cgroups.Group `json:"cgroup"`
	Unit   cgroups.Unit  `json:"unit,omitzero"`
	// Rdt are the folders of resctrl that go with the container.
	Rdt []string `json:"rdt,omitempty"`
	// Streams are what the standard streams were at first, as /proc/PID/fd has them; none with a terminal.
	Streams []string `json:"streams,omitempty"`
	// HostRoot is what is taken away of a container without a mount namespace.
	HostRoot chroot.HostRoot `json:"hostRoot,omitzero"`
	// Rest are the calls that are left for the start, see kernel.Program.Rest.
	Rest []string `json:"rest,omitempty"`
}

// life is a process that can't be taken for a later one with the same number: it holds when it began, in clock ticks
// after boot (proc_pid_stat(5), field 22). In a container's folder it is the file pid.
type life struct {
	pid   int
	began uint64
}

// String is the form of the file: both numbers.
func (l life) String() string { return fmt.Sprintf("%d %d\n", l.pid, l.began) }

// parseLife reads that form.
func parseLife(text string) (life, error) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return life{}, fmt.Errorf("%q is not a process number and when it began", text)
	}
	pid, err1 := strconv.Atoi(fields[0])
	began, err2 := strconv.ParseUint(fields[1], 10, 64)
	return life{pid, began}, errors.Join(err1, err2)
}

// parseStat reads state and beginning of a process.
//
//	1204 (name) S 1 1204 1204 0 -1 4194560 …
//	1    2      3 4 …                        22: when it began
func parseStat(text string) (state byte, began uint64, err error) {
	end := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	if end < 0 || len(fields) < 20 {
		return 0, 0, fmt.Errorf("%q is no line of /proc/PID/stat", text)
	}
	began, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0][0], began, err
}

// statusOf decides what a container is. Alive tells whether its process is, created whether it got as far as that, held
// whether it waits for its start, frozen whether its cgroup is.
func statusOf(alive, created, held, frozen, making bool) specs.ContainerState {
	switch {
	case making && !created:
		return specs.StateCreating
	case !alive:
		return specs.StateStopped
	case frozen: // before held: it can be resumed and not started
		return Paused
	case held:
		return specs.StateCreated
	}
	return specs.StateRunning
}
