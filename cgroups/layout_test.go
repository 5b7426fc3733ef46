// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The mountinfo of machines of three kinds, and what /proc/self/cgroup says there.
const (
	mountsV1 = `30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:10 - cgroup cgroup rw,memory
33 30 0:28 / /mnt/again rw,nosuid - cgroup cgroup rw,memory
34 30 0:29 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
`
	mountV2   = "35 23 0:30 / /sys/fs/cgroup\\040two rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	mountPart = "36 23 0:30 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	cgroupV1  = "9:name=systemd:/user.slice\n4:memory:/session\n2:cpu,cpuacct:/\n7:pids:/session\n"
)

// TestParseLayout reads made-up machines.
func TestParseLayout(t *testing.T) {
	v1 := []Hierarchy{
		{1, []string{"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct", "/"},
		{1, []string{"memory"}, "/sys/fs/cgroup/memory", "/session"},
		{1, []string{"name=systemd"}, "/sys/fs/cgroup/systemd", "/user.slice"},
	}
	for name, test := range map[string]struct {
		mounts, cgroup string
		kind           string
		want           []Hierarchy
	}{
		"none":           {"23 1 254:0 / / rw - ext4 /dev/vda rw\n", "", None, nil},
		"v1":             {mountsV1, cgroupV1, V1, v1},
		"mixed, v2 last": {mountV2 + mountsV1, cgroupV1 + "0::/user\n", Mixed, append(v1[:3:3], Hierarchy{2, nil, "/sys/fs/cgroup two", "/user"})},
		"v2":             {mountV2, "0::/user.slice/a\n", V2, []Hierarchy{{2, nil, "/sys/fs/cgroup two", "/user.slice/a"}}},
		"part of v2":     {mountPart, "0::/docker/abc/x\n", V2, []Hierarchy{{2, nil, "/sys/fs/cgroup", "/x"}}},
		"top of a part":  {mountPart, "0::/docker/abc\n", V2, []Hierarchy{{2, nil, "/sys/fs/cgroup", "/"}}},
		"not a mount":    {"cut off", "0::/\n", None, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := parse(test.mounts, test.cgroup)
			if diff := cmp.Diff(test.want, got.Hierarchies); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.Kind() != test.kind {
				t.Errorf("kind %s, want %s", got.Kind(), test.kind)
			}
		})
	}
}

// TestGroupNames turns cgroupsPaths into folders.
func TestGroupNames(t *testing.T) {
	layout := Layout{[]Hierarchy{
		{Version: 1, Controllers: []string{"memory"}, Mount: "/cg/memory", Own: "/session"},
		{Version: 2, Mount: "/cg/unified", Own: "/user/session"},
	}}
	for path, want := range map[string]struct {
		v1, v2 string   // folders
		new    []string // to make in version 1
	}{
		"":       {"/cg/memory/id", "/cg/unified/id", []string{"/cg/memory/id"}},
		"/a":     {"/cg/memory/a", "/cg/unified/a", []string{"/cg/memory/a"}},
		"/a//b/": {"/cg/memory/a/b", "/cg/unified/a/b", []string{"/cg/memory/a", "/cg/memory/a/b"}},
		"a":      {"/cg/memory/session/a", "/cg/unified/user/a", []string{"/cg/memory/session/a"}},
		"a/b":    {"/cg/memory/session/a/b", "/cg/unified/user/a/b", []string{"/cg/memory/session/a", "/cg/memory/session/a/b"}},
		"..a/b.": {"/cg/memory/session/..a/b.", "/cg/unified/user/..a/b.", []string{"/cg/memory/session/..a", "/cg/memory/session/..a/b."}},
	} {
		t.Run(path, func(t *testing.T) {
			g, err := layout.Group(path, "id")
			if err != nil {
				t.Fatal(err)
			}
			if g.Folders[0].Path != want.v1 || g.Folders[1].Path != want.v2 {
				t.Errorf("folders %s and %s, want %s and %s", g.Folders[0].Path, g.Folders[1].Path, want.v1, want.v2)
			}
			if diff := cmp.Diff(want.new, g.Folders[0].New); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for path, say := range map[string]string{
		"../a": "climbs out", "/a/../b": "climbs out", "/..": "climbs out", "/": "whole machine", "//": "whole machine", ".": "whole machine", "/a\nb": "line breaks",
	} {
		if _, err := layout.Group(path, "id"); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: error is %v, want %q", path, err, say)
		}
	}
}

// TestFolderOfAController finds controllers by the names of both versions.
func TestFolderOfAController(t *testing.T) {
	for kind, want := range map[string]map[string]string{
		V1: {"io": "/sys/fs/cgroup/blkio/x", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/x", "devices": "/sys/fs/cgroup/devices/x", "misc": ""},
		V2: {"blkio": "/sys/fs/cgroup/x", "cpuacct": "/sys/fs/cgroup/x", "freezer": "/sys/fs/cgroup/x", "net_cls": "", "misc": ""},
	} {
		g, err := Sample(kind).Group("/x", "")
		if err != nil {
			t.Fatal(err)
		}
		for controller, path := range want {
			if f, ok := g.Folder(controller); f.Path != path || ok != (path != "") {
				t.Errorf("%s: %s is in %q, want %q", kind, controller, f.Path, path)
			}
		}
	}
}
