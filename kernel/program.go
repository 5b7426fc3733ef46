// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"slices"
)

// Program is the list of calls that makes a container: one list for each side, in order. The host
// list has one [Clone], which starts the container list; a [Wait] in the container list meets an
// [Await] and a [Release] in the host list.
type Program struct {
	Host      []Call
	Container []Call
}

// Step is one call of a program, with its place.
type Step struct {
	Side Side
	// Index counts from 1 in the side's list of Count calls.
	Index, Count int
	Call         Call
	// Pid is the container's process as the host sees it; 0 before the clone, and in [Program.Steps].
	Pid int
}

// String is the form in which errors and explain name a call: "container call 3 of 40: …".
func (s Step) String() string {
	return fmt.Sprintf("%s call %d of %d: %s", s.Side, s.Index, s.Count, s.Call)
}

// Steps returns the calls of both sides in the order in which they happen.
func (p Program) Steps() []Step {
	steps := make([]Step, 0, len(p.Host)+len(p.Container))
	inside := 0
	// forward appends container calls up to and including the wait that stop matches.
	forward := func(stop func(Request) bool) {
		for inside < len(p.Container) {
			call := p.Container[inside]
			inside++
			steps = append(steps, Step{Side: ContainerSide, Index: inside, Count: len(p.Container), Call: call})
			if stop(call.Request) {
				return
			}
		}
	}
	for i, call := range p.Host {
		if await, ok := call.Request.(Await); ok {
			forward(func(r Request) bool { return r == Wait(await) })
		}
		steps = append(steps, Step{Side: HostSide, Index: i + 1, Count: len(p.Host), Call: call})
	}
	forward(func(Request) bool { return false })
	return steps
}

// check refuses a program whose sides would wait for each other for ever.
func (p Program) check() error {
	var waits, awaits, releases []string
	clones := 0
	for _, call := range p.Container {
		if w, ok := call.Request.(Wait); ok {
			waits = append(waits, w.Point)
		}
	}
	for _, call := range p.Host {
		switch r := call.Request.(type) {
		case Clone:
			clones++
		case Await:
			awaits = append(awaits, r.Point)
		case Release:
			releases = append(releases, r.Point)
		}
	}
	if clones != 1 {
		return fmt.Errorf("a program has one clone, this one has %d", clones)
	}
	if !slices.Equal(waits, awaits) || !slices.Equal(waits, releases) {
		return fmt.Errorf("waiting points differ: container %v, host awaits %v and releases %v", waits, awaits, releases)
	}
	return nil
}

// assemble lays out the container side.
func (p Program) assemble(stepping bool, slots map[Slot]int8, regs *registers) (*table, error) {
	a := &Assembler{}
	for i, call := range p.Container {
		a.call = i
		if stepping {
			a.add(opStep, 0)
		}
		call.Assemble(a)
	}
	return newTable(a, p.Container, slots, regs)
}
