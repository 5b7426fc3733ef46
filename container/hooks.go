// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// The points of a container's life at which hooks are run, as the configuration names them (config.md, "POSIX-platform
// Hooks"). The first three and the fourth end the creation when one of them fails.
const (
	pointPrestart        = "prestart"
	pointCreateRuntime   = "createRuntime"
	pointCreateContainer = "createContainer"
	pointStartContainer  = "startContainer"
	pointPoststart       = "poststart"
	pointPoststop        = "poststop"
)

// hookPoints lists the points in the order of a container's life.
func hookPoints() []string {
	return []string{
		pointPrestart, pointCreateRuntime, pointCreateContainer, pointStartContainer, pointPoststart, pointPoststop,
	}
}

// hooksAt returns the hooks of a point.
func hooksAt(h *specs.Hooks, point string) []specs.Hook {
	if h == nil {
		return nil
	}
	switch point {
	case pointPrestart:
		//lint:ignore SA1019 Prestart is deprecated, and still a hook that somebody asked for.
		return h.Prestart
	case pointCreateRuntime:
		return h.CreateRuntime
	case pointCreateContainer:
		return h.CreateContainer
	case pointStartContainer:
		return h.StartContainer
	case pointPoststart:
		return h.Poststart
	}
	return h.Poststop
}

// checkHooks refuses hooks that could not be run.
func checkHooks(h *specs.Hooks) error {
	for _, point := range hookPoints() {
		for i, hook := range hooksAt(h, point) {
			if err := checkHook(hook); err != nil {
				return fmt.Errorf("hooks.%s[%d].%w", point, i, err)
			}
		}
	}
	return nil
}

// checkHook refuses a hook whose path is not absolute, or whose timeout is over before it begins.
func checkHook(h specs.Hook) error {
	if !path.IsAbs(h.Path) {
		return fmt.Errorf("path %q is not absolute", h.Path)
	}
	if h.Timeout != nil && *h.Timeout <= 0 {
		return fmt.Errorf("timeout %d: it is in seconds, and greater than 0", *h.Timeout)
	}
	if strings.ContainsRune(h.Path, 0) {
		return fmt.Errorf("path %q holds a NUL byte", h.Path)
	}
	for field, values := range map[string][]string{"args": h.Args, "env": h.Env} {
		for _, v := range values {
			if strings.ContainsRune(v, 0) {
				return fmt.Errorf("%s: %q holds a NUL byte", field, v)
			}
		}
	}
	return nil
}

// Slots of the hooks that run inside: what they read at the two points, and what they write.
const (
	slotHookCreating kernel.Slot = "hook-creating"
	slotHookCreated  kernel.Slot = "hook-created"
	slotHookOutput   kernel.Slot = "hook-output"
)

// pointHooks is where the container's process waits for the hooks in the runtime's namespaces.
const pointHooks = "the hooks"

// createHooks plans the hooks of the creation, and what those of the start need: the state in which the container is, which
// tells its process's number. They come when all is mounted and before the change of root.
func (p *planner) createHooks() []kernel.Call {
	before := append(p.runtimeHooks(pointPrestart), p.runtimeHooks(pointCreateRuntime)...)
	inside := p.containerHooks(pointCreateContainer, slotHookCreating, specs.StateCreating, nil)
	later := hooksAt(p.spec.Hooks, pointStartContainer)
	if len(before)+len(inside)+len(later) == 0 {
		return nil
	}
	files := HookFiles{}
	if len(inside) > 0 {
		files.States = append(files.States, slotHookCreating)
		before = append(before, p.hookState(slotHookCreating, specs.StateCreating))
	}
	if len(later) > 0 {
		files.States = append(files.States, slotHookCreated)
		before = append(before, p.hookState(slotHookCreated, specs.StateCreated))
	}
	if len(files.States) > 0 {
		p.host = append([]kernel.Call{{Request: files, Why: "opened before the clone, the container's process has them too"}}, p.host...)
	}
	p.host = append(p.host, kernel.Call{Request: kernel.Await{Point: pointHooks}, Why: "hooks find all namespaces and mounts made"})
	p.host = append(p.host, before...)
	p.host = append(p.host, kernel.Call{Request: kernel.Release{Point: pointHooks}, Why: "none of them failed"})
	wait := kernel.Call{Request: kernel.Wait{Point: pointHooks}, Why: "hooks may change what has been made so far, from outside"}
	return append([]kernel.Call{wait}, inside...)
}

// startHooks plans the hooks of the start, behind the last meeting of both sides. as are the calls by which the container's
// process takes away its own rights from here on: a hook, whose program is one of the image, gets no more than the command.
func (p *planner) startHooks(as []kernel.Call) []kernel.Call {
	return p.containerHooks(pointStartContainer, slotHookCreated, specs.StateCreated, as)
}

// runtimeHooks plans the hooks of a point that run in the runtime's namespaces. To prestart hooks the container is created:
// before version 1.0.2 of the specification they ran after the creation, and what is written for them expects that.
func (p *planner) runtimeHooks(point string) []kernel.Call {
	var calls []kernel.Call
	status := specs.StateCreating
	if point == pointPrestart {
		status = specs.StateCreated
	}
	for i, hook := range hooksAt(p.spec.Hooks, point) {
		calls = append(calls, kernel.Call{
			Request: RuntimeHook{Point: point, Number: i + 1, Hook: hook, State: p.state(status)},
			Why:     "the configuration asks for it, outside of the container",
		})
	}
	return calls
}

// containerHooks plans the hooks of a point that run in the container's namespaces.
func (p *planner) containerHooks(point string, state kernel.Slot, status specs.ContainerState, as []kernel.Call) []kernel.Call {
	var calls []kernel.Call
	for i, hook := range hooksAt(p.spec.Hooks, point) {
		h := ContainerHook{Point: point, Number: i + 1, Hook: hook, Input: state, State: p.state(status), As: as}
		if point == pointCreateContainer {
			h.Dir = p.bundle.Dir
		}
		calls = append(calls, kernel.Call{Request: h, Why: "the configuration asks for it, inside of the container"})
	}
	return calls
}

// hookState plans how the hooks inside get to know the state.
func (p *planner) hookState(slot kernel.Slot, status specs.ContainerState) kernel.Call {
	return kernel.Call{Request: HookState{slot, p.state(status)}, Why: "hooks read it from their standard input; only now is the number of the process known"}
}

// state is what hooks are told of the container (runtime.md, "State").
func (p *planner) state(status specs.ContainerState) specs.State {
	return specs.State{
		Version: specs.Version, ID: p.options.ID, Status: status, Bundle: p.bundle.Dir, Annotations: p.spec.Annotations,
	}
}
