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

// create makes a container, up to but not including its command: what can go wrong with namespaces, mounts and limits goes
// wrong now, and an engine may still add to it, such as a network. One that is not held runs at once, to its end.
func (k *keeper) create(r request, held bool) (code int, err error) {
	c := &container{ID: r.id, folder: k.folder(r.id)}
	if err := c.make(); err != nil {
		return 1, err
	}
	code, err = c.begin(r, held, k.unlock)
	if err == nil && held {
		return 0, nil // this program ends, and the container's process goes on waiting
	}
	if err := errors.Join(err, k.lock()); err != nil || c.replaced() {
		return code, errors.Join(err, c.unmake()) // nothing else is left of a program that could not start
	}
	return code, c.remove()
}

// begin starts the program. What tells how to clean up is written before there is anything to clean up.
func (c *container) begin(r request, held bool, noted func()) (int, error) {
	p, err := c.plan(r, held, noted)
	if err != nil {
		return 1, err
	}
	c.Rest = p.Rest()
	if err := c.save(); err != nil {
		return 1, err
	}
	if !held {
		return run(p)
	}
	if _, err := p.Start(kernel.Options{}); err != nil {
		return refused(err)
	}
	return 0, nil
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
	if s := c.state(); s.Pid != 0 && !force {
		return fmt.Errorf("delete %s: it is %s: kill it first, or use -force", c.ID, s.Status)
	} else if s.Pid != 0 {
		if err := c.kill(unix.SIGKILL); err != nil {
			return err
		}
	}
	return c.remove()
}
