// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// Script returns a bash script that makes the same container with util-linux, coreutils and iproute2:
// each call as the command that asks the same of the kernel, with its reason. What no command can do
// (a new session keyring, a seccomp filter, a terminal) stands in it as a comment.
func Script(b *Bundle, f Facts, o Options) (string, error) {
	if o.NoPivot {
		return "", errors.New("a script needs pivot_root: afterwards the host's programs are still in reach")
	}
	p, err := newPlan(b, f, o)
	if err != nil {
		return "", err
	}
	if !p.own(namespaces.Mount) {
		return "", errors.New("a script needs a mount namespace: nobody would take away its mounts")
	}
	if p.own(namespaces.User) {
		f.Security.Missing = 0
	}
	f.Security.SetgroupsDenied = f.Security.SetgroupsDenied || f.UID != 0 && mapsOne(b.Spec)
	who, err := security.NewCredentials(b.Spec.Process, f.Security)
	if err != nil {
		return "", err
	}
	who.NoNewPrivileges = b.Spec.Process.NoNewPrivileges
	s := &script{bundle: b, program: p.program(), plan: p}
	s.head()
	s.inside(who)
	s.outside()
	return s.text.String(), nil
}

// script is a script while it is written.
type script struct {
	bundle  *Bundle
	program kernel.Program
	plan    *planner
	text    strings.Builder
}

// line appends a line.
func (s *script) line(format string, args ...any) { fmt.Fprintf(&s.text, format+"\n", args...) }

// comment appends a comment. A line feed in it, which a path may hold, does not end it.
func (s *script) comment(text string) { s.line("# %s", strings.ReplaceAll(text, "\n", "\n# ")) }

// head explains the script.
func (s *script) head() {
	s.line("#!/bin/bash")
	s.comment(fmt.Sprintf("The container of %s, made by hand. Written by stave explain --shell.", s.bundle.Dir))
	s.line("# For root file systems that you trust: a shell follows their symbolic links out of the root.")
	s.line("set -eu")
	s.line("export root=%s", kernel.Quote(s.bundle.rootPath()))
	s.line("undo=:; trap 'eval \"$undo\"' EXIT")
	s.line("")
}

// command writes one call: its reason, and its command or why there is none.
func (s *script) command(c kernel.Call) {
	s.comment(fmt.Sprintf("%s: %s", c, c.Why))
	if shell := c.Shell(); shell != "" {
		s.line("%s", shell)
	} else if _, ok := c.Request.(Session); ok {
		s.line("# (setsid(1) does this; it is left out, so that Ctrl-C at your terminal reaches the command)")
	} else {
		s.line("# (no command does this)")
	}
}

// inside writes what the container's process does, as text in a variable: unshare(1) gives it to a
// shell of its own.
func (s *script) inside(who security.Credentials) {
	text := &script{bundle: s.bundle, program: s.program, plan: s.plan}
	text.process(who)
	end := "CONTAINER"
	for strings.Contains(text.text.String(), end+"\n") { // an argument may hold such a line
		end += "_"
	}
	s.line("# ---- in the container's process, from the first moment to the command")
	s.line("container=$(cat <<'%s'\n%s%s\n)\n", end, &text.text, end)
}

// process writes the commands of the container's process.
func (s *script) process(who security.Credentials) {
	for _, c := range s.program.Container {
		switch c.Request.(type) {
		case security.SetLimit, security.SetScheduler, security.SetIOPriority:
			s.command(c) // before pivot_root, as prlimit(1), chrt(1) and ionice(1) are programs of the host
		}
	}
	for _, c := range s.program.Container[len(s.plan.entering):] {
		switch r := c.Request.(type) {
		case kernel.Wait:
			s.askForHooks(r)
		case security.SetLimit, namespaces.Open, namespaces.Join, namespaces.Unshare, namespaces.MoveOn, namespaces.BecomeRoot:
			continue // done outside, by nsenter and unshare
		case chroot.Pivot:
			s.pivot(c)
			s.execute(who)
			return
		default:
			s.command(c)
		}
	}
}

// askForHooks lets the container's process wait for the hooks outside, see [script.runtimeHooks].
func (s *script) askForHooks(w kernel.Wait) {
	last := ""
	for _, c := range s.program.Host {
		if r, ok := c.Request.(kernel.Await); ok && (r.Point == pointHooks || r.Point == pointDevices) {
			last = r.Point // one meeting is enough in a script
		}
	}
	if w.Point != last || len(s.runtimeHooks()) == 0 {
		return // what the host does at other points is done outside, before
	}
	s.line("# %s", w)
	s.line(`cut -d' ' -f4 /proc/self/stat >&5; read -r said <&6; [ "$said" = done ]; exec 5<&- 6<&-`)
}

// runtimeHooks lists the hooks in the namespaces of whoever runs the script, and the network devices that come from there.
func (s *script) runtimeHooks() []kernel.Call {
	return slices.DeleteFunc(slices.Clone(s.program.Host), func(c kernel.Call) bool {
		switch c.Request.(type) {
		case RuntimeHook, namespaces.MoveDevice:
			return false
		}
		return true
	})
}

// hooks writes a process outside that runs the hooks there as soon as it is told the number of the container's process.
func (s *script) hooks() {
	hooks := s.runtimeHooks()
	if len(hooks) == 0 {
		return
	}
	s.line("# a process that does what is to be done outside of the container while that one waits")
	s.line("pipes=$(mktemp -d); mkfifo $pipes/ask $pipes/answer; exec 5<>$pipes/ask 6<>$pipes/answer; rm -r $pipes")
	s.line("{ read -r pid <&5; exec 5<&-")
	for _, c := range hooks {
		s.comment(fmt.Sprintf("%s: %s", c, c.Why))
		s.line("%s &&", c.Shell())
	}
	s.line("echo done >&6 || echo failed >&6; } &")
	s.line(`undo="kill $! 2>/dev/null || :; $undo"`)
}

// pivot writes the change of root. Afterwards the programs of the host are gone from every path, but
// the old root is still the shell's working directory: the loader is started from there.
func (s *script) pivot(c kernel.Call) {
	s.line("# Programs of the old root can be started after the change of root through its loader.")
	s.line("for ld in lib64/ld-linux-x86-64.so.2 lib/ld-linux-aarch64.so.1; do [ ! -e /$ld ] || loader=.$(readlink -f /$ld); done")
	s.line("old=($loader --inhibit-cache --library-path ./lib/%[1]s:./usr/lib/%[1]s:./lib64:./usr/lib64:./lib:./usr/lib)", "$(uname -m)-linux-gnu")
	s.line(`old() { local program=$1; shift; "${old[@]}" ./usr/bin/$program "$@"; }`)
	s.command(c)
	s.line("cd /proc/self/cwd && exec 8<&-")
}

// execute writes the one command that becomes the container's: setpriv(1) takes user, groups and
// capabilities, env(1) the folder and the environment.
func (s *script) execute(who security.Credentials) {
	process := s.bundle.Spec.Process
	mask := uint32(0o022)
	if process.User.Umask != nil {
		mask = *process.User.Umask
	}
	s.line("# become the container's user with its capabilities, and execute its command")
	s.line("%s", security.Umask{Mask: mask}.Shell())
	setpriv := kernel.Quote(who.Setpriv()[1:]...)
	for _, c := range s.program.Container {
		if hook, ok := c.Request.(ContainerHook); ok && hook.Point == pointStartContainer {
			s.comment(fmt.Sprintf("%s: %s", c, c.Why))
			hook.Dir = process.Cwd
			s.line("%s", hook.shell(`"${old[@]}" ./usr/bin/setpriv `+kernel.Quote(who.Setpriv()[1:]...)+` "${old[@]}" ./usr/bin/`, `"${old[@]}" ./usr/bin/`))
		}
	}
	command := s.program.Container[len(s.program.Container)-1].Request.(kernel.Exec)
	env := kernel.Quote(slices.Concat([]string{"-i", "-C", process.Cwd}, command.Env, command.Args)...)
	s.line(`exec "${old[@]}" ./usr/bin/setpriv %s "${old[@]}" ./usr/bin/env %s`, setpriv, env)
}

// outside writes what the host does: a process that holds the user namespace while its maps are
// written, and then the commands that enter and make the namespaces.
func (s *script) outside() {
	s.line("# ---- on the host")
	s.group()
	flags, joins := s.namespaces()
	var prefix []string
	hold := flags&unix.CLONE_NEWUSER != 0
	if hold {
		prefix = append(prefix, s.hold()...)
	}
	for _, j := range joins {
		prefix = append(prefix, j.Shell())
	}
	unshare := append([]string{"unshare"}, kernel.UnshareOptions(flags&^unix.CLONE_NEWUSER)...)
	s.hooks()
	words := strings.Join(slices.Concat(prefix, unshare, []string{"--fork"}), " ")
	s.line("# new namespaces: %s", kernel.NamespaceNames(flags))
	if len(s.plan.grouping) == 0 {
		s.line(`%s bash -euc "$container"`, words)
		return
	}
	s.line("(")
	_, _, enter := s.plan.facts.Group.Enter(false)
	for _, c := range enter {
		s.command(c)
	}
	s.line("%s bash -euc \"$container\"\n)", words)
}

// group writes how the cgroup is made and limited, and that it is removed in the end. A shell in it, forked for that,
// enters it and makes the container: no command does so for another program.
func (s *script) group() {
	for _, c := range s.plan.grouping {
		s.command(c)
		if m, ok := c.Request.(cgroups.Make); ok {
			s.line("undo=%s\" 2>/dev/null; $undo\"", removal(m))
		}
		if m, ok := c.Request.(MakeFolder); ok && slices.Contains(s.plan.facts.RdtLeft, m.Path) {
			s.line("undo=%s\"; $undo\"", kernel.Quote("rmdir "+kernel.Quote(m.Path)))
		}
	}
}

// removal is the command that removes the folder of a cgroup: at once if it is shared, otherwise as soon as the
// kernel has taken the last process out.
func removal(m cgroups.Make) string {
	command := "rmdir " + kernel.Quote(m.Path)
	if m.Shared {
		command = "! " + command // it may fail
	} else {
		command = "until " + command + "; do sleep 0.01; done"
	}
	return kernel.Quote(command)
}

// hold writes the process that holds the user namespace, and returns the command that enters it.
func (s *script) hold() []string {
	s.line("# a process that holds the user namespace while its id maps are written")
	s.line("unshare --user sleep infinity & pid=$!")
	s.line(`undo="kill $pid || :; $undo"`)
	s.line(`until [ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do kill -0 $pid; sleep 0.01; done`)
	enter := []string{"nsenter", "--user=/proc/$pid/ns/user", "--setuid", "0", "--setgid", "0"}
	for _, c := range s.program.Host {
		switch r := c.Request.(type) {
		case kernel.WriteFile:
			if !strings.Contains(r.Path, "$pid") {
				continue // of a cgroup, and done
			}
			s.command(c)
			if r.Data == "deny" { // setgroups is denied: the credentials that the maps give must do
				enter = []string{"nsenter", "--user=/proc/$pid/ns/user", "--preserve-credentials"}
			}
		case namespaces.Helper:
			s.command(c)
		}
	}
	return enter
}

// namespaces collects from the program which namespaces are made and joined.
func (s *script) namespaces() (flags uintptr, joins []namespaces.Join) {
	for _, c := range slices.Concat(s.program.Host, s.program.Container) {
		switch r := c.Request.(type) {
		case kernel.Clone:
			flags |= r.Flags
		case namespaces.Unshare:
			flags |= r.Flags
		case namespaces.MoveOn:
			flags |= r.Flags
		case namespaces.Join:
			joins = append(joins, r)
		}
	}
	return flags, joins
}
