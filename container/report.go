// SPDX-License-Identifier: Apache-2.0

package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Line is one call of a container's program, for people and for other programs.
type Line struct {
	Side  kernel.Side `json:"side"`
	Index int         `json:"index"`
	Count int         `json:"count"`
	Call  string      `json:"call"`
	Why   string      `json:"why"`
	Shell string      `json:"shell,omitempty"`
}

// Explain lists the calls that make the container of a bundle on this machine, in the order in which
// they happen; with [Options].Cgroups as they would be on a machine of that kind.
func Explain(b *Bundle, o Options) ([]Line, error) {
	facts, err := ReadFacts(b, o)
	if err != nil {
		return nil, err
	}
	program, err := Plan(b, facts, o)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, s := range program.Steps() {
		lines = append(lines, Line{s.Side, s.Index, s.Count, s.Call.String(), s.Call.Why, s.Call.Shell()})
	}
	return append(lines, b.laterHooks(len(program.Host), o.ID)...), nil
}

// laterHooks are the hooks for which the program is over: they are numbered as if they were calls of the host behind it.
func (b *Bundle) laterHooks(calls int, id string) []Line {
	var lines []Line
	for _, later := range []struct {
		point, why string
		status     specs.ContainerState
	}{
		{pointPoststart, "the configuration asks for it, when the command runs", specs.StateRunning},
		{pointPoststop, "the configuration asks for it, when the container is deleted", specs.StateStopped},
	} {
		for i, hook := range hooksAt(b.Spec.Hooks, later.point) {
			r := RuntimeHook{later.point, i + 1, hook, b.stateOf(specs.State{ID: id}, later.status)}
			lines = append(lines, Line{kernel.HostSide, calls + len(lines) + 1, calls, r.String(), later.why, r.Shell()})
		}
	}
	for i := range lines {
		lines[i].Count = calls + len(lines)
	}
	return lines
}

// ExplainShell returns the same as a bash script, see [Script].
func ExplainShell(b *Bundle, o Options) (string, error) {
	facts, err := ReadFacts(b, o)
	if err != nil {
		return "", err
	}
	return Script(b, facts, o)
}

// Quote joins words so that a POSIX shell reads them back as they are.
func Quote(words ...string) string { return kernel.Quote(words...) }
