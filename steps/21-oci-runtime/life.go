// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes a bundle to play with, and leads its container through its life.

// example is the configuration of that bundle.
//
//go:embed config.json
var example []byte

// write makes a bundle: a root folder, and a configuration that this user can run.
func (r request) write() error {
	if r.bundle == "" {
		return errors.New("bundle wants a folder")
	}
	program, err := staticProgram("/bin/busybox", "bin/stave-lab")
	if err != nil {
		return err
	}
	root := filepath.Join(r.bundle, "rootfs")
	if err := os.MkdirAll(r.bundle, 0o755); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(root, 0o755), furnish(root, program)); err != nil {
		return err
	}
	c, err := exampleFor(os.Geteuid(), os.Getegid())
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.bundle, "config.json"), append(text, '\n'), 0o644)
}

// exampleFor is the example as a user can run it: who is not root gets a user namespace, as in step 09, and no limits, for which
// he has no cgroup.
func exampleFor(uid, gid int) (c config, err error) {
	if err := json.Unmarshal(example, &c); err != nil || uid == 0 {
		return c, err
	}
	c.Linux.Namespaces = append(c.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	c.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(uid), Size: 1}}
	c.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(gid), Size: 1}}
	c.Linux.Resources = nil
	return c, nil
}

// life does all commands in turn, and shows after each how many files are kept, and what the container's process is.
func (k *keeper) life() (int, error) {
	dir, err := os.MkdirTemp("", "stave-bundle")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := (request{bundle: dir}).write(); err != nil {
		return 1, err
	}
	k.root = filepath.Join(dir, "kept")
	if k.explained {
		return k.do("create", []string{"-bundle", dir, "demo"})
	}
	for line := range strings.Lines("create -bundle " + dir + " demo\nstate demo\nstart demo\nstate demo\nkill demo KILL\nstate demo\ndelete demo\n") {
		fmt.Print("$ 21-oci-runtime ", line)
		words := strings.Fields(line)
		if code, err := k.do(words[0], words[1:]); err != nil {
			k.do("delete", []string{"-force", "demo"}) // that there is none, the first error has said
			return code, err
		}
		k.look("demo", words[0] == "start")
	}
	return 0, nil
}

// explain prints the calls that create or run would make.
func (k *keeper) explain(verb string, r request) error {
	if verb != "create" && verb != "run" {
		return fmt.Errorf("-explain shows the calls of create and run, not of %s", verb)
	}
	c := &container{ID: r.id, folder: k.folder(r.id)}
	p, err := c.plan(r, verb == "create", nil)
	if err == nil {
		explain(p)
	}
	return err
}

// look tells what is there of a container; if it was just started, not before its command has come to its last program.
func (k *keeper) look(id string, started bool) {
	files, _ := filepath.Glob(filepath.Join(k.folder(id), "*")) // the pattern is a good one
	fmt.Printf("  kept: %d files", len(files))
	c, err := k.find(id)
	for range 1000 {
		if err != nil || c.state().Pid == 0 {
			break
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.state().Pid))
		if name := strings.TrimSpace(string(comm)); !started || name == "sleep" {
			fmt.Printf("; process %d is %s", c.state().Pid, name)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println()
}

// show prints a state as the specification has it (runtime.md, "Query State").
func show(s specs.State) error {
	text, err := json.MarshalIndent(s, "", "  ")
	fmt.Println(string(text))
	return err
}
