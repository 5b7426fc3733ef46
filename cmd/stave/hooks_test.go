// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// TestScriptRunsHooks runs the script of a bundle with hooks: those before and at the start come in their order and in
// their namespaces, and the one inside reads the number of the process it belongs to.
func TestScriptRunsHooks(t *testing.T) {
	witness.Need(t, "root", "command:bash", "command:unshare", "command:ip")
	const script = "{ echo POINT; readlink /proc/self/ns/uts; cat; echo; } >> DIR/seen"
	bundle := newBundle(t, "readlink /proc/self/ns/uts; cat /data/seen", func(s *specs.Spec) { s.Root.Readonly = false })
	data := filepath.Join(bundle, "rootfs/data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	hook := func(point, dir string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", strings.NewReplacer("POINT", point, "DIR", dir).Replace(script)}, Timeout: new(20)}}
	}
	var spec specs.Spec
	text, err := os.ReadFile(bundle + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	spec.Hooks = &specs.Hooks{
		StartContainer: hook("startContainer", "/data"), CreateContainer: hook("createContainer", data),
		CreateRuntime: hook("createRuntime", data),
		//lint:ignore SA1019 Prestart is deprecated, and still there.
		Prestart: hook("prestart", data),
	}
	if text, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	put(t, bundle+"/config.json", string(text), 0o644)
	explained := run(t, exec.Command(stave, "explain", "--shell", "--bundle", bundle))
	got := run(t, runScript(t, explained.out, 0))
	host, err := os.Readlink("/proc/self/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(got.out, "\n")
	if got.code != 0 || got.err != "" || len(lines) != 14 {
		t.Fatalf("exit code %d, errors %q, output %q", got.code, got.err, got.out)
	}
	for i, point := range []string{"prestart", "createRuntime", "createContainer", "startContainer"} {
		name, namespace, state := lines[3*i+1], lines[3*i+2], specs.State{}
		if err := json.Unmarshal([]byte(lines[3*i+3]), &state); err != nil {
			t.Errorf("%s: %v", point, err)
		}
		outside := namespace == host
		if name != point || outside != (i < 2) || !outside && namespace != lines[0] || (state.Pid == 1) == outside || state.Pid == 0 {
			t.Errorf("hook %s in %s with %+v; want %s, the host's namespace is %s and the container's %s", name, namespace, state, point, host, lines[0])
		}
	}
}
