// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// hook runs a script, with a variable of its own.
func hook(script string) []specs.Hook {
	return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"MINE=yes"}}}
}

// looking is the script of a hook that writes down what it sees, in a folder.
func looking(point, dir string) []specs.Hook {
	return hook(strings.NewReplacer("DIR", dir, "POINT", point).Replace(`set -e; cd .
echo POINT >> DIR/order
cat > DIR/POINT.state
for n in mnt pid net uts ipc; do readlink /proc/self/ns/$n; done > DIR/POINT.ns
ls -l /proc/self/fd > DIR/POINT.fd
grep -E 'SigIgn|SigBlk' /proc/self/status > DIR/POINT.signals
umask > DIR/POINT.umask
pwd > DIR/POINT.pwd
env > DIR/POINT.env
echo "hooks are not heard"; echo "nor in anger" >&2`))
}

// text returns what is in a file, without the last line feed.
func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(data), "\n")
}

// TestHooks runs a hook at each point, which write down what they see: their order, the state on their standard input,
// their namespaces, descriptors, signals, mask, folder and environment. The starter ignores a signal and has a file open.
func TestHooks(t *testing.T) {
	witness.Need(t, "root")
	dir := newBundle(t, `for n in mnt pid net uts ipc; do readlink /proc/self/ns/$n; done > /data/command.ns
until [ -e /data/poststart.env ]; do sleep 0.05; done; echo command >> /data/order`)
	data := filepath.Join(dir, "rootfs/data")
	before := []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart"}
	spec := read(t, dir)
	spec.Root.Readonly = false
	spec.Annotations = map[string]string{"org.example": "it's"}
	spec.Hooks = &specs.Hooks{
		//lint:ignore SA1019 Prestart is deprecated, and still there.
		Prestart:      looking(before[0], data),
		CreateRuntime: looking(before[1], data), CreateContainer: looking(before[2], data),
		StartContainer: looking(before[3], "/data"), Poststart: looking(before[4], data), Poststop: looking("poststop", data),
	}
	write(t, dir, spec)
	secret := filepath.Join(dir, "secret")
	put(t, secret, "", 0o600)
	file, err := os.Open(secret)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pid := filepath.Join(dir, "pid")
	c := exec.Command("/bin/sh", "-c", `trap "" USR2; umask 077; exec "$0" "$@"`, staveOCI, "run", "--bundle", dir, "--pid-file", pid, filepath.Base(dir))
	c.ExtraFiles = []*os.File{file}
	if got := run(t, c); got.code != 0 || got.out != "" || got.err != "" {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(append(before, "command", "poststop"), strings.Fields(text(t, data+"/order"))); diff != "" {
		t.Errorf("order: -want +got\n%s", diff)
	}
	for i, point := range append(before, "poststop") {
		inside := i == 2 || i == 3
		checkHookState(t, data, dir, point, inside, pid)
		checkHookProcess(t, data, dir, point, inside)
	}
}

// checkHookState compares the state that a hook got with what it is.
func checkHookState(t *testing.T, data, dir, point string, inside bool, pidFile string) {
	t.Helper()
	var state map[string]any
	if err := json.Unmarshal([]byte(text(t, filepath.Join(data, point+".state"))), &state); err != nil {
		t.Errorf("%s: %v", point, err)
	}
	status := map[string]string{"prestart": "created", "startContainer": "created", "poststart": "running", "poststop": "stopped"}[point]
	if status == "" {
		status = "creating"
	}
	want := map[string]any{
		"ociVersion": specs.Version, "id": filepath.Base(dir), "status": status, "bundle": dir,
		"annotations": map[string]any{"org.example": "it's"},
	}
	switch pid, err := strconv.Atoi(text(t, pidFile)); {
	case err != nil:
		t.Error(err)
	case inside:
		want["pid"] = 1.0
	case point != "poststop":
		want["pid"] = float64(pid)
	}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("%s: state -want +got\n%s", point, diff)
	}
}

// checkHookProcess looks at the process that a hook was.
func checkHookProcess(t *testing.T, data, dir, point string, inside bool) {
	t.Helper()
	see := func(what string) string { return text(t, filepath.Join(data, point+"."+what)) }
	var ours []string
	for _, kind := range []string{"mnt", "pid", "net", "uts", "ipc"} {
		ours = append(ours, fmt.Sprintf("%s:[%d]", kind, witness.Namespace(t, os.Getpid(), kind)))
	}
	theirs := text(t, filepath.Join(data, "command.ns"))
	if want := strings.Join(ours, "\n"); inside && see("ns") != theirs || !inside && see("ns") != want || theirs == want {
		t.Errorf("%s: in the namespaces %q, the caller's are %q and the container's %q", point, see("ns"), want, theirs)
	}
	if list := see("fd"); strings.Contains(list, "secret") || strings.Count(list, "->") > 4 || strings.Contains(list, "socket:") {
		t.Errorf("%s: descriptors\n%s", point, list)
	}
	if want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"; see("signals") != want {
		t.Errorf("%s: signals %q", point, see("signals"))
	}
	mask, folder := "0077", dir
	if inside {
		mask = "0022"
	}
	if point == "startContainer" {
		folder = "/"
	}
	if see("umask") != mask || see("pwd") != folder {
		t.Errorf("%s: umask %s in %s", point, see("umask"), see("pwd"))
	}
	env := slices.DeleteFunc(strings.Fields(see("env")), func(pair string) bool { // what a shell adds
		return pair == "PATH=/sbin:/usr/sbin:/bin:/usr/bin" || strings.HasPrefix(pair, "PWD=") || strings.HasPrefix(pair, "OLDPWD=") || strings.HasPrefix(pair, "SHLVL=") || strings.HasPrefix(pair, "_=")
	})
	if !slices.Equal(env, []string{"MINE=yes"}) {
		t.Errorf("%s: environment %q", point, env)
	}
}

// read reads a bundle's configuration.
func read(t *testing.T, dir string) *specs.Spec {
	t.Helper()
	var spec specs.Spec
	if err := json.Unmarshal([]byte(text(t, filepath.Join(dir, "config.json"))), &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}
