// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestEnvironment plans variables that are there twice, and HOME.
func TestEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		env  []string
		home string
		want []string
	}{
		"as it is":       {[]string{"A=1", "B="}, "", []string{"A=1", "B="}},
		"twice":          {[]string{"A=1", "B=", "A=2"}, "", []string{"A=2", "B="}},
		"no equals sign": {[]string{"A", "B=1"}, "", []string{"A", "B=1"}},
		"home":           {[]string{"A=1"}, "/root", []string{"A=1", "HOME=/root"}},
	} {
		p := &planner{spec: &specs.Spec{Process: &specs.Process{Env: test.env}}, facts: Facts{Home: test.home}}
		if diff := cmp.Diff(test.want, p.environment()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestHome looks users up in root folders, one of which tries to show the host's files.
func TestHome(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("x:x:7:7::/stolen:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	process := &specs.Process{User: specs.User{UID: 7, GID: 8}}
	passwd := filepath.Join(root, "etc/passwd")
	for _, step := range []struct {
		name, want string
		before     func() error
	}{
		{"no passwd", "/", func() error { return nil }},
		{"link to the host", "/", func() error { return os.Symlink(outside, passwd) }},
		{"a folder", "/", func() error { return os.Mkdir(passwd, 0o755) }},
		{"user missing", "/", func() error { return os.WriteFile(passwd, []byte("r:x:0:0::/root:/bin/sh\n"), 0o644) }},
		{"user there", "/home/u", func() error { return os.WriteFile(passwd, []byte("u:x:7:9::/home/u:/bin/sh\n"), 0o644) }},
	} {
		if err := os.RemoveAll(passwd); err != nil {
			t.Fatal(err)
		}
		if err := step.before(); err != nil {
			t.Fatal(err)
		}
		if got := homeOf(root, process); got != step.want {
			t.Errorf("%s: home %q, want %q", step.name, got, step.want)
		}
	}
	process.Env = []string{"HOME=/set"}
	if got := homeOf(root, process); got != "" {
		t.Errorf("HOME is set, and the home is %q", got)
	}
}

// TestModeInside reads modes of folders, which no link may lead out of the root.
func TestModeInside(t *testing.T) {
	root := t.TempDir()
	sticky := filepath.Join(root, "tmp")
	if err := os.Mkdir(sticky, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(sticky, 0o700|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/../../../../tmp", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/tmp", "tmp", "/link", "/../tmp"} {
		if mode, found := modeInside(root, name); !found || mode != 0o1700 {
			t.Errorf("%s: %o %v", name, mode, found)
		}
	}
	if _, found := modeInside(root, "nothing"); found {
		t.Error("a folder that is not there is found")
	}
}
