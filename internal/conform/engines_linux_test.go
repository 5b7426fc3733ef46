// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"stave/internal/witness"
)

// TestPodman plays the scripts in testdata/podman: podman and conmon with the runtime, from a store of their own.
func TestPodman(t *testing.T) {
	runtime := tested(t)
	witness.Need(t, "command:podman", "command:conmon", "command:busybox")
	keepDevices(t)
	keepGiven(t)
	dir := brief(t)
	for name, text := range map[string]string{"containers.conf": containersConf, "storage.conf": storageConf} {
		write(t, filepath.Join(dir, name), strings.NewReplacer("DIR", dir, "RUNTIME", runtime, "IMAGE", imageName).Replace(text), 0o644)
	}
	env := map[string]string{
		"HOME": dir, "CONTAINERS_CONF": filepath.Join(dir, "containers.conf"), "CONTAINERS_STORAGE_CONF": filepath.Join(dir, "storage.conf"),
		"IMAGE": imageName, "RUNTIME": runtime,
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	groups := cgroups(t)
	t.Cleanup(func() { removeGroups(t, groups, regexp.MustCompile(`/libpod_parent(/|$)|/conmon$`)) })
	const locks = "/dev/shm/libpod_lock"
	_, absent := os.Stat(locks)
	t.Cleanup(func() {
		command(t, "podman", "rm", "-af", "-t", "0")
		command(t, "podman", "rmi", "-af")
		if absent != nil { // nobody else has containers
			os.Remove(locks)
		}
	})
	command(t, "podman", "load", "-i", archive(t))
	play(t, "testdata/podman", env)
	for _, list := range [][]string{{"ps", "-aq"}, {"pod", "ps", "-q"}} {
		if left := command(t, "podman", list...); left != "" {
			t.Errorf("podman %v still shows what the scripts have removed:\n%s", list, left)
		}
	}
}

// containersConf is podman's configuration, see containers.conf(5). The limits of open files and processes are there
// because podman asks for higher ones than a machine without CAP_SYS_RESOURCE grants.
const containersConf = `
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=4096:4096"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "RUNTIME"
tmp_dir = "DIR/run/libpod"
infra_image = "IMAGE"
`

// storageConf is the configuration of podman's store, see containers-storage.conf(5).
const storageConf = `
[storage]
driver = "overlay"
graphroot = "DIR/store"
runroot = "DIR/run/storage"
`

// TestContainerd plays the scripts in testdata/containerd: ctr, with a containerd of their own and its shim.
func TestContainerd(t *testing.T) {
	runtime := tested(t)
	witness.Need(t, "command:containerd", "command:ctr", "command:busybox")
	keepDevices(t)
	keepGiven(t)
	groups := cgroups(t)
	t.Cleanup(func() { removeGroups(t, groups, regexp.MustCompile(`/default$`)) })
	dir := brief(t)
	env := map[string]string{
		"CONTAINERD_ADDRESS": filepath.Join(dir, "containerd.sock"), "IMAGE": imageName, "RUNTIME": runtime,
		"PATH": filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"),
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	write(t, filepath.Join(dir, "bin", "ctr-run"), strings.NewReplacer("DIR", dir, "RUNTIME", runtime).Replace(ctrRun), 0o755)
	config := filepath.Join(dir, "config.toml")
	write(t, config, strings.ReplaceAll(containerdConfig, "DIR", dir), 0o644)
	serve(t, exec.Command("containerd", "--config", config), "ctr", "version")
	t.Cleanup(func() { // what scripts that failed have left
		for id := range strings.FieldsSeq(command(t, "ctr", "tasks", "ls", "-q")) {
			exec.Command("ctr", "tasks", "rm", "-f", id).Run() // exits with the task's code
		}
		for id := range strings.FieldsSeq(command(t, "ctr", "containers", "ls", "-q")) {
			command(t, "ctr", "containers", "rm", id)
		}
	})
	command(t, "ctr", "images", "import", archive(t))
	play(t, "testdata/containerd", env)
	for _, list := range []string{"tasks", "containers"} {
		if left := command(t, "ctr", list, "ls", "-q"); left != "" {
			t.Errorf("ctr %s ls still shows what the scripts have removed:\n%s", list, left)
		}
	}
	command(t, "ctr", "images", "rm", "--sync", imageName)
}

// ctrRun is a short name for ctr run with the runtime.
const ctrRun = `#!/bin/sh
exec ctr run --runtime io.containerd.runc.v2 --runc-binary RUNTIME --runc-root DIR/runtime "$@"
`

// containerdConfig is containerd's configuration, see containerd-config.toml(5). Kubernetes' interface would need a
// network.
const containerdConfig = `
version = 2
root = "DIR/root"
state = "DIR/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "DIR/containerd.sock"
[ttrpc]
address = "DIR/ttrpc.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "DIR/opt"
`

// serve starts a daemon, waits until a command that asks it something succeeds, and ends it with the test.
func serve(t *testing.T, daemon *exec.Cmd, question ...string) {
	t.Helper()
	var log bytes.Buffer
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Signal(syscall.SIGTERM)
		daemon.Wait()
		if t.Failed() {
			t.Logf("%v said:\n%s", daemon.Args, &log)
		}
	})
	witness.Until(t, strings.Join(question, " ")+" succeeds", func() bool {
		return exec.Command(question[0], question[1:]...).Run() == nil
	})
}

// write writes a file, in a folder that may have to be made.
func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// play plays the scripts of a folder with an environment. Besides testscript's own there are two commands:
//
//	code N COMMAND…           run it; its exit code has to be N
//	until PATTERN COMMAND…    run it again and again until its output matches
//
// and a condition: [criu] holds if a criu is installed that works with the machine's kernel.
func play(t *testing.T, folder string, env map[string]string) {
	t.Helper()
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:      folder,
			Deadline: time.Now().Add(patience / 2),
			Setup: func(e *testscript.Env) error {
				for name, value := range env {
					e.Setenv(name, value)
				}
				return nil
			},
			Condition: func(word string) (bool, error) {
				if word != "criu" {
					return false, fmt.Errorf("unknown condition %q", word)
				}
				return exec.Command("criu", "check").Run() == nil, nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "until": until},
		})
	})
}

// code is the command of scripts that compares an exit code.
func code(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND…")
	}
	got, exit := 0, (*exec.ExitError)(nil)
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// until is the command of scripts that waits for a fact.
func until(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND…")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		output := ts.ReadFile("stdout")
		if err == nil && pattern.MatchString(output) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("waited a minute in vain for %s: %v\n%s", args[0], err, output)
		}
	}
}

// command runs a command that has to succeed and returns its output.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		t.Errorf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, output, &stderr)
	}
	return string(output)
}

// keepDevices compares the machine's device nodes in the end with what they are now, and makes good what has changed.
func keepDevices(t *testing.T) {
	t.Helper()
	before := devices(t)
	t.Cleanup(func() {
		if diff := cmp.Diff(before, devices(t)); diff != "" {
			t.Errorf("the device nodes of the machine (-before +after):\n%s", diff)
			for name, node := range before {
				os.Chown(name, node.Owner, node.Group)
				os.Chmod(name, node.Mode)
			}
		}
	})
}
