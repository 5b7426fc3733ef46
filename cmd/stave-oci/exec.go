// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/container"
)

// codeExec is the exit code of an exec that could not be done, as runc has it: no command's own is meant by it.
const codeExec = 255

// words is an option that may be given several times.
type words []string

// String is what flag prints.
func (w *words) String() string { return strings.Join(*w, ",") }

// Set adds one.
func (w *words) Set(text string) error {
	*w = append(*w, text)
	return nil
}

// execution are the options of exec.
type execution struct {
	container.ExecOptions
	process, user, cwd, apparmor string
	label                        string
	tty, noNewPrivileges         bool
	env, caps, gids              words
}

// execFlags reads them.
func execFlags(flags *flag.FlagSet) *execution {
	e := &execution{}
	flags.StringVar(&e.ConsoleSocket, "console-socket", "", "unix `socket` that gets the other end of the process's terminal")
	flags.StringVar(&e.PidFile, "pid-file", "", "`file` that gets the number of the process")
	flags.IntVar(&e.Keep, "preserve-fds", 0, "how many descriptors after 2 the process inherits")
	flags.BoolVar(&e.IgnorePaused, "ignore-paused", false, "also in a container that is paused")
	flags.StringVar(&e.Cgroup, "cgroup", "", "a cgroup below the container's: [CONTROLLERS:]`path`")
	flags.StringVar(&e.apparmor, "apparmor", "", "AppArmor `profile`")
	flags.StringVar(&e.label, "process-label", "", "SELinux `label`")
	flags.BoolVar(&e.noNewPrivileges, "no-new-privs", false, "set-user-ID programs give nothing")
	flags.StringVar(&e.cwd, "cwd", "", "`folder` to start in")
	for _, f := range []struct {
		name, short, usage string
		value              *string
	}{{"process", "p", "`file` with the process as JSON", &e.process}, {"user", "u", "`UID[:GID]`", &e.user}} {
		flags.StringVar(f.value, f.name, "", f.usage)
		flags.StringVar(f.value, f.short, "", f.usage)
	}
	for _, f := range []struct {
		name, short, usage string
		value              *bool
	}{{"detach", "d", "leave the process to itself once it runs", &e.Detach}, {"tty", "t", "give it a terminal", &e.tty}} {
		flags.BoolVar(f.value, f.name, false, f.usage)
		flags.BoolVar(f.value, f.short, false, f.usage)
	}
	for _, f := range []struct {
		name, short, usage string
		value              *words
	}{{"env", "e", "`NAME=value`", &e.env}, {"cap", "c", "a `capability` more", &e.caps}, {"additional-gids", "g", "a supplementary `group`, by number", &e.gids}} {
		flags.Var(f.value, f.name, f.usage)
		flags.Var(f.value, f.short, f.usage)
	}
	return e
}

// execute runs a process in a container.
func execute(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("exec", flag.ContinueOnError)
	e := execFlags(flags)
	if err := parseFlags(flags, args); err != nil {
		return 0, err
	}
	e.Planned = g.log.planned()
	if flags.NArg() == 0 || flags.NArg() == 1 && e.process == "" {
		return 0, errors.New("exec takes the id of a container and a command, or --process FILE with it")
	}
	if err := container.ProtectProgram(); err != nil {
		return codeExec, err
	}
	i, err := container.Find(g.root, flags.Arg(0))
	if err != nil {
		return codeExec, err
	}
	defer i.Close()
	if e.Process, err = e.read(i, flags.Args()[1:]); err != nil {
		return codeExec, err
	}
	code, err := i.Exec(e.ExecOptions)
	if err != nil && code == 0 {
		code = codeExec
	}
	return code, err
}

// read returns the process: that of a file, or the container's own with what the options say.
func (e *execution) read(i *container.Instance, args []string) (*specs.Process, error) {
	if e.process != "" {
		if err := e.alone(args); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(e.process)
		if err != nil {
			return nil, fmt.Errorf("--process: %w", err)
		}
		var p specs.Process
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("--process: %s: %w", e.process, err)
		}
		p.Terminal = p.Terminal || e.tty
		return &p, nil
	}
	p, err := i.Process()
	if err != nil {
		return nil, err
	}
	p.Args, p.Terminal, p.ConsoleSize = args, e.tty, nil
	p.Env = append(p.Env, e.env...)
	if e.cwd != "" {
		p.Cwd = e.cwd
	}
	if e.apparmor != "" {
		p.ApparmorProfile = e.apparmor
	}
	if e.label != "" {
		p.SelinuxLabel = e.label
	}
	p.NoNewPrivileges = p.NoNewPrivileges || e.noNewPrivileges
	e.addCapabilities(p)
	return p, e.setUser(p)
}

// alone refuses what a process that a file describes has in the file.
func (e *execution) alone(args []string) error {
	if len(args)+len(e.env)+len(e.caps)+len(e.gids) > 0 || e.user+e.cwd+e.apparmor+e.label != "" || e.noNewPrivileges {
		return errors.New("--process describes the whole process: give no command, user, folder, variables, capabilities, profile or label beside it")
	}
	return nil
}

// addCapabilities adds to all sets but the inheritable one.
func (e *execution) addCapabilities(p *specs.Process) {
	if len(e.caps) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	c := p.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted, &c.Ambient} {
		*set = slices.Concat(*set, e.caps)
	}
}

// setUser reads user and groups, all by number.
func (e *execution) setUser(p *specs.Process) error {
	uid, gid, both := strings.Cut(e.user, ":")
	for _, n := range []struct {
		option, text string
		value        *uint32
	}{{"--user", uid, &p.User.UID}, {"--user", gid, &p.User.GID}} {
		if n.text == "" {
			continue
		}
		id, err := strconv.ParseUint(n.text, 10, 32)
		if err != nil {
			return fmt.Errorf("%s %q: UID or UID:GID, numbers", n.option, e.user)
		}
		*n.value = uint32(id)
	}
	if both && gid == "" {
		return fmt.Errorf("--user %q: the group is missing behind the colon", e.user)
	}
	for _, text := range e.gids {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("--additional-gids %q: the number of a group", text)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(id))
	}
	return nil
}
