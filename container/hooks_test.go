// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"mvdan.cc/sh/v3/syntax"
)

// allHooks is a hook at each point, and two at some.
func allHooks() *specs.Hooks {
	one := func(name string) []specs.Hook {
		return []specs.Hook{{Path: "/hooks/" + name, Args: []string{"hook", "it's " + name}, Env: []string{"POINT=" + name}}}
	}
	return &specs.Hooks{
		//lint:ignore SA1019 Prestart is deprecated, and still there.
		Prestart:        one("prestart"),
		CreateRuntime:   append(one("createRuntime"), specs.Hook{Path: "/hooks/second", Timeout: new(7)}),
		CreateContainer: one("createContainer"),
		StartContainer:  one("startContainer"),
		Poststart:       one("poststart"),
		Poststop:        one("poststop"),
	}
}

// TestPlanHooksGolden compares the program of a container with hooks with a golden file.
func TestPlanHooksGolden(t *testing.T) {
	spec := Example()
	spec.Hooks = allHooks()
	program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, step := range program.Steps() {
		if said := step.String(); strings.Contains(said, "hook") || strings.Contains(said, "pivot") || strings.Contains(said, "read-only") {
			fmt.Fprintf(&text, "%s\n\t%s\n\t%s\n", said, step.Call.Why, step.Call.Shell())
		}
	}
	golden(t, filepath.Join("testdata", "hooks.txt"), text.String())
}

// TestPlanHooksAlone plans the hooks of single points: what they need is there, and nothing for the others.
func TestPlanHooksAlone(t *testing.T) {
	for name, test := range map[string]struct {
		hooks *specs.Hooks
		want  []string // words of the calls about hooks, without their numbers
	}{
		"none":     {&specs.Hooks{}, nil},
		"poststop": {&specs.Hooks{Poststop: []specs.Hook{{Path: "/x"}}, Poststart: []specs.Hook{{Path: "/x"}}}, nil},
		"createRuntime": {&specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/x"}}}, []string{
			"wait until the host has done: the hooks", "wait for the container at: the hooks",
			"run the createRuntime hook 1, /x", "let the container go on: the hooks",
		}},
		"createContainer": {&specs.Hooks{CreateContainer: []specs.Hook{{Path: "/x"}}}, []string{
			"open files for the hooks' input and output", "wait until the host has done: the hooks", "wait for the container at: the hooks",
			"write the state of the container, creating, for its hooks", "let the container go on: the hooks",
			"run the createContainer hook 1, /x",
		}},
		"startContainer": {&specs.Hooks{StartContainer: []specs.Hook{{Path: "/x"}}}, []string{
			"open files for the hooks' input and output", "wait until the host has done: the hooks", "wait for the container at: the hooks",
			"write the state of the container, created, for its hooks", "let the container go on: the hooks",
			"run the startContainer hook 1, /x",
		}},
	} {
		spec := Example()
		spec.Hooks = test.hooks
		program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, step := range program.Steps() {
			if said := step.Call.String(); strings.Contains(said, "hook") {
				got = append(got, said)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: the calls about hooks are %q, want %q", name, got, test.want)
		}
	}
}

// TestStartHookRights looks at what a startContainer hook takes from itself. With a filter the last meeting is before the
// rights of the container's process go, so the hook has to do what is left.
func TestStartHookRights(t *testing.T) {
	filter := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: specs.ActErrno}}}
	for name, test := range map[string]struct {
		change func(*specs.Spec)
		before []string // what the container's process has done by then
		own    []string // what the hook does
	}{
		"no filter": {func(s *specs.Spec) { s.Linux.Seccomp = nil }, []string{"become user", "set the capabilities"}, nil},
		"filter with no_new_privs": {
			func(s *specs.Spec) { s.Linux.Seccomp, s.Process.NoNewPrivileges = filter, true },
			[]string{"become user", "set the capabilities", "no new privileges"},
			[]string{"seccomp filter"},
		},
		"filter": {
			func(s *specs.Spec) { s.Linux.Seccomp, s.Process.NoNewPrivileges = filter, false },
			[]string{"enter"},
			[]string{"seccomp filter", "bounding set", "become user", "from new files", "set the capabilities"},
		},
	} {
		spec := Example()
		spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/x"}}}
		test.change(spec)
		program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"})
		if err != nil {
			t.Fatal(err)
		}
		var done []string
		for _, call := range program.Container {
			if hook, ok := call.Request.(ContainerHook); ok {
				var own []string
				for _, as := range hook.As {
					own = append(own, as.String())
				}
				for list, wants := range map[*[]string][]string{&done: test.before, &own: test.own} {
					for _, want := range wants {
						if index(*list, want) < 0 {
							t.Errorf("%s: %q is missing in %q", name, want, *list)
						}
					}
				}
				if len(test.own) == 0 && len(own) > 0 {
					t.Errorf("%s: the hook does again what is done: %q", name, own)
				}
			}
			done = append(done, call.String())
		}
		if index(done, "startContainer") < 0 {
			t.Errorf("%s: the hook is not planned: %q", name, done)
		}
	}
}

// TestCheckHooks refuses hooks that could not be run, with the name of the field.
func TestCheckHooks(t *testing.T) {
	for want, hook := range map[string]specs.Hook{
		"":                           {Path: "/x", Args: []string{"a"}, Timeout: new(1)},
		`[0].path "x" is not`:        {Path: "x"},
		`[0].path "" is not`:         {},
		"[0].timeout 0: it is in":    {Path: "/x", Timeout: new(0)},
		"[0].timeout -1: it is in":   {Path: "/x", Timeout: new(-1)},
		`[0].args: "a\x00" holds a`:  {Path: "/x", Args: []string{"a\x00"}},
		`[0].env: "a=\x00" holds a`:  {Path: "/x", Env: []string{"a=\x00"}},
		`[0].path "/\x00" holds a N`: {Path: "/\x00"},
	} {
		list := []specs.Hook{hook}
		for point, hooks := range map[string]*specs.Hooks{
			"prestart": {Prestart: list}, "createRuntime": {CreateRuntime: list}, "createContainer": {CreateContainer: list},
			"startContainer": {StartContainer: list}, "poststart": {Poststart: list}, "poststop": {Poststop: list},
		} {
			err := checkHooks(hooks)
			if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "hooks."+point+want)) {
				t.Errorf("%s of %+v: %v, want %q", point, hook, err, want)
			}
		}
	}
}

// TestHookShellIsShell parses the commands of all hooks.
func TestHookShellIsShell(t *testing.T) {
	state := specs.State{ID: "it's", Bundle: "/b b", Annotations: map[string]string{"a": `%s\n"'`}}
	hook := specs.Hook{Path: "/x y", Args: []string{"x", "'", "$HOME"}, Env: []string{"A='b c'"}, Timeout: new(3)}
	for _, shell := range []string{
		RuntimeHook{Point: "p", Number: 1, Hook: hook, State: state}.Shell(),
		ContainerHook{Point: "p", Number: 1, Hook: hook, State: state, Dir: "/b b"}.Shell(),
	} {
		if _, err := syntax.NewParser().Parse(strings.NewReader(shell), ""); err != nil {
			t.Errorf("%v in %s", err, shell)
		}
	}
}

// TestLaterHooksAreExplained looks for the hooks behind the program in what explain prints.
func TestLaterHooksAreExplained(t *testing.T) {
	lines := (&Bundle{Dir: "/bundle", Spec: &specs.Spec{Hooks: allHooks()}}).laterHooks(7, "c")
	if len(lines) != 2 || !strings.Contains(lines[0].Call, "poststart hook 1") || !strings.Contains(lines[1].Call, "poststop hook 1") {
		t.Fatalf("%+v", lines)
	}
	for i, status := range []string{`"status":"running"`, `"status":"stopped"`} {
		if l := lines[i]; l.Index != 8+i || l.Count != 9 || l.Side != "host" || !strings.Contains(l.Shell, status) {
			t.Errorf("%+v", l)
		}
	}
}
