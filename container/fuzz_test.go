// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
	"stave/kernel"
)

// FuzzPlan gives configurations from strangers to Parse and Plan, for root and for an ordinary user. Neither may
// panic, and what comes out can be printed and laid out as system calls.
func FuzzPlan(f *testing.F) {
	rootless := Example()
	Rootless(rootless, 1000, 1000)
	for _, spec := range []*specs.Spec{Example(), rootless, rich(), {Version: "1.0.0"}} {
		data, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint8(0))
		f.Add(data, uint8(0xff))
	}
	for _, text := range []string{
		"", "{}", "null", "[]", "{\n\"ociVersion\": }", `{"ociVersion":"1.0.0","root":{"path":"r"},"process":{"args":["a"],"cwd":"/"},"linux":{}}`,
		`{"ociVersion":"1.0.0","root":{"path":"r"},"process":{"args":[""],"cwd":"/","user":{"uid":4294967295}},"linux":{"namespaces":[{"type":"mount"},{"type":"user"}],"uidMappings":[{"size":4294967295}],"gidMappings":[{}]}}`,
		`{"ociVersion":"1.0.0","root":{"path":"r"},"process":{"args":["a"],"cwd":"/..","rlimits":[{}]},"linux":{"namespaces":[{"type":"mount"}],"sysctl":{"":""},"devices":[{"type":"c"}],"maskedPaths":["",".","/"],"readonlyPaths":[""]},"mounts":[{"destination":"/"},{"destination":"/x","options":["bind",""]},{"destination":"/y","type":"cgroup"}]}`,
		`{"ociVersion":"1.0.0","root":{"path":"r"},"process":{"args":["a"],"cwd":"/"},"linux":{"namespaces":[{"type":"mount"}],"seccomp":{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/x","syscalls":[{"names":[],"action":""}]}}}`,
	} {
		f.Add([]byte(text), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, bits uint8) {
		spec, err := Parse(data)
		if err != nil {
			return
		}
		program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, factsOf(bits), Options{ID: "fuzz", NoPivot: bits&1 != 0, Keep: int(bits & 3)})
		if err != nil {
			return
		}
		for _, step := range program.Steps() {
			if step.String() == "" || step.Call.Why == "" {
				t.Errorf("call without a text or reason: %#v", step)
			}
			step.Call.Shell()
			step.Call.Assemble(&kernel.Assembler{})
		}
	})
}

// factsOf makes facts up, one for each bit.
func factsOf(bits uint8) Facts {
	f := madeUp()
	if bits&4 != 0 {
		f = userFacts()
	}
	f.Security.AppArmor, f.Security.SELinux = bits&8 != 0, bits&16 != 0
	f.HasHelpers = bits&32 != 0
	if bits&64 != 0 {
		f.Cgroups = cgroups.Sample(cgroups.V2)
		f = inGroup(f)
	}
	if bits&128 != 0 {
		f.SharedParent, f.Kcore, f.OwnStdio = "/srv", false, nil
	}
	return f
}

// TestParseSaysWhere names the line of a mistake, counted from 1.
func TestParseSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"{":                                "line 1: unexpected end of JSON input",
		"{\n\n\"a\" 1}":                    "line 3: invalid character '1' after object key",
		"{\"ociVersion\":\n\"1.0.0\",\n}":  "line 3: invalid character '}' looking for beginning of object key string",
		"{\"ociVersion\": \"1.0.0\"} tail": "line 1: invalid character 't' after top-level value",
	} {
		if _, err := Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestLoad reads the bundles of a folder: none, and one by a relative path.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	data, err := json.Marshal(Example())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(dir))
	b, err := Load(filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	if b.Dir != dir || b.rootPath() != filepath.Join(dir, "rootfs") {
		t.Errorf("the bundle is %s, its root %s; want %s and rootfs below it", b.Dir, b.rootPath(), dir)
	}
}
