// SPDX-License-Identifier: Apache-2.0

// Command 21-oci-runtime is an OCI runtime: it makes a container of a bundle in two phases, keeps it until it is deleted,
// and does what engines such as podman ask of runc.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/security"
)

// main does one command, or without one leads a container through its life. It ends with the command's exit code.
func main() {
	var k keeper
	flag.StringVar(&k.root, "root", defaultRoot(), "the `folder` in which containers are kept")
	flag.BoolVar(&k.explained, "explain", false, "print the calls of create or run instead of making them")
	flag.Parse()
	code, err := 1, error(nil)
	switch args := flag.Args(); {
	case security.Displaced():
		err = errors.New("this program was started inside a container, where it has nothing to do")
	case len(args) == 0:
		code, err = k.life()
	default:
		code, err = k.do(args[0], args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "21-oci-runtime:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// do does one command on one container, while no other command changes anything.
func (k *keeper) do(verb string, args []string) (int, error) {
	request, err := parse(verb, args)
	if err != nil || verb == "bundle" {
		return 0, errors.Join(err, request.write())
	}
	if !k.explained {
		if err := k.lock(); err != nil {
			return 1, err
		}
		defer k.unlock()
	}
	if verb == "create" || verb == "run" {
		return k.create(request, verb == "create")
	}
	c, err := k.find(request.id)
	if err != nil {
		return 1, err
	}
	switch verb {
	case "start":
		err = c.start()
	case "state":
		err = show(c.state())
	case "kill":
		err = c.kill(request.signal)
	case "delete":
		err = c.delete(request.force)
	}
	return 0, err
}

// create makes a container, up to but not including its command: what can go wrong with namespaces, mounts and limits goes
// wrong now, and an engine may still add to it, such as a network. A container that is not held runs at once, to its end.
func (k *keeper) create(r request, held bool) (code int, err error) {
	c := &container{ID: r.id, folder: k.folder(r.id)}
	p, err := c.plan(r, held, k.unlock)
	if err != nil {
		return 1, err
	}
	if k.explained {
		explain(p)
		return 0, nil
	}
	if err := os.Mkdir(c.folder, 0o711); err != nil { // of two commands at once, one gets it
		return 1, fmt.Errorf("create %s: is there one with this name? %w", r.id, err)
	}
	c.Rest = p.Rest()
	if err = c.save(); err == nil && held { // saved before there is anything that has to be cleaned up
		if _, err = p.Start(kernel.Options{}); err == nil {
			return 0, nil // this program ends, and the container's process goes on waiting
		}
		code, err = refused(err)
	} else if err == nil {
		code, err = run(p)
	}
	return code, errors.Join(err, k.lock(), c.remove())
}

// start lets the waiting process go on to its last calls, and returns when it has become the command.
func (c *container) start() error {
	if s := c.state(); s.Status != specs.StateCreated {
		return fmt.Errorf("start %s: it is %s, and only a created container can be started", c.ID, s.Status)
	}
	socket, err := c.socket(unix.Connect)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return kernel.Resume(socket, c.Rest, func() error { return os.Remove(c.file(startName)) }) // from here on it counts as running
}

// state finds out what the container is. No file says so: its process can end at any time, and tells nobody here.
func (c *container) state() specs.State {
	s := specs.State{Version: c.Version, ID: c.ID, Bundle: c.Bundle, Annotations: c.Annotations, Status: specs.StateStopped}
	var pid int
	var born string
	text, _ := kernel.ReadFile(c.file(pidName)) // without it there is no process yet
	if n, _ := fmt.Sscan(string(text), &pid, &born); n < 2 || birth(pid) != born {
		return s
	}
	s.Pid, s.Status = pid, specs.StateRunning
	if _, err := os.Stat(c.file(startName)); err == nil {
		s.Status = specs.StateCreated
	}
	return s
}

// kill sends a signal to the container's process. SIGKILL takes the whole PID namespace along, and is waited for.
func (c *container) kill(signal unix.Signal) error {
	s := c.state()
	if s.Pid == 0 {
		return fmt.Errorf("kill %s: container not running", c.ID)
	}
	return send(signal, s.Pid, func() bool { return c.state().Pid == s.Pid })
}

// delete removes all that create made. A container that was killed half made has stopped, too.
func (c *container) delete(force bool) error {
	switch s := c.state(); {
	case s.Pid != 0 && !force:
		return fmt.Errorf("delete %s: it is %s: kill it first, or use -force", c.ID, s.Status)
	case s.Pid != 0:
		if err := c.kill(unix.SIGKILL); err != nil {
			return err
		}
	}
	return c.remove()
}
