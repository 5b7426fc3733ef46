// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/internal/witness"
)

// TestFields looks at what the kernel says of a command after the fields of its configuration.
func TestFields(t *testing.T) {
	u := newCaller(t, 0)
	lent, mask := filepath.Join(u.dir, "lent"), uint32(0o027)
	if err := os.WriteFile(lent, []byte("lent"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &u.config.Process
	p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}, Umask: &mask}
	p.Env, p.Cwd, p.OOMScoreAdj = []string{"PATH=/bin", "A=b"}, "/tmp", new(500)
	p.Capabilities.Inheritable, p.Capabilities.Ambient = []string{"CAP_NET_BIND_SERVICE"}, []string{"CAP_NET_BIND_SERVICE"}
	u.config.Root.Readonly, u.config.Linux.MaskedPaths = true, []string{"/proc/uptime"}
	u.config.Mounts = append(u.config.Mounts, mount{Destination: "/lent", Type: "bind", Source: "lent", Options: []string{"ro"}})
	u.write()
	if err := os.WriteFile(filepath.Join(u.config.Root.Path, "lent"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := u.create()
	u.must(0, "start", "x")
	for field, want := range map[string]string{
		"Uid": "1000 1000 1000 1000", "Gid": "1001 1001 1001 1001", "Groups": "5 6", "Umask": "0027", "CapBnd": "0000000000000420",
		"CapEff": "0000000000000400", "NoNewPrivs": "1", "Seccomp": "2", "NSpid": "", "SigIgn": "0000000000000000",
	} {
		if got := r.status(t, field); field != "NSpid" && got != want || field == "NSpid" && !strings.HasSuffix(got, " 1") {
			t.Errorf("%s of the command is %q, want %q", field, got, want)
		}
	}
	for file, want := range map[string]string{
		"environ": "PATH=/bin\x00A=b\x00", "oom_score_adj": "500\n", "cmdline": "sleep\x001000\x00", "root/lent": "lent",
	} {
		if got := r.read(t, file); got != want {
			t.Errorf("%s of the command is %q, want %q", file, got, want)
		}
	}
	if !strings.Contains(r.read(t, "limits"), "Max open files            1024                 1024 ") {
		t.Errorf("the limits are\n%s", r.read(t, "limits"))
	}
	for target, option := range map[string]string{"/": "ro", "/lent": "ro", "/proc/sys": "ro", "/proc/uptime": "", "/dev/pts": "noexec"} {
		has := func(m witness.Mount) bool {
			return m.Point == target && (option == "" || slices.Contains(strings.Split(m.Options, ","), option))
		}
		if !slices.ContainsFunc(witness.Mounts(t, r.pid), has) {
			t.Errorf("there is no mount on %s with option %q", target, option)
		}
	}
}

// TestNames lets the command tell its host name.
func TestNames(t *testing.T) {
	for need, uid := range users() {
		t.Run(need, func(t *testing.T) {
			u := newCaller(t, uid)
			u.config.Hostname = "barrel"
			u.config.Process.Args = []string{"sh", "-c", "echo $$; pwd; cat /proc/sys/kernel/hostname /proc/self/uid_map; mount -t tmpfs x /tmp 2>/dev/null || echo refused"}
			u.write()
			got := strings.Fields(u.must(0, "run", "x"))
			if len(got) < 7 || !slices.Equal(got[:4], []string{"1", "/tmp", "barrel", "0"}) || got[6] != "refused" {
				t.Errorf("number, folder, host name, users, mount: %q", got)
			}
		})
	}
}

// TestUnknownCapability asks for one that no kernel has: the command has the others, and the caller is warned.
func TestUnknownCapability(t *testing.T) {
	u := newCaller(t, 0)
	u.config.Process.Capabilities.Bounding = []string{"CAP_KILL", "CAP_X"}
	u.config.Process.Capabilities.Permitted, u.config.Process.Capabilities.Effective = nil, nil
	u.config.Process.Args = []string{"grep", "CapBnd", "/proc/self/status"}
	u.write()
	if output := u.must(0, "run", "x"); !strings.Contains(output, "CAP_X") || !strings.Contains(output, "CapBnd:\t0000000000000020\n") {
		t.Errorf("no warning, or not CAP_KILL alone: %s", output)
	}
}

// TestLimits reads the limits of a container that was only created, in the files of either version of cgroups.
func TestLimits(t *testing.T) {
	u := newCaller(t, 0)
	layout, err := cgroups.Read()
	if err != nil {
		t.Fatal(err)
	}
	group, err := layout.Group("/x", "")
	if err != nil {
		t.Fatal(err)
	}
	memory, has := group.Folder("memory")
	if !has {
		t.Skip("needs a cgroup controller: no mounted hierarchy has memory")
	}
	limit := int64(64 << 20)
	u.config.Linux.CgroupsPath = "/stave-test-limits/deep"
	u.config.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	u.config.Mounts = append(u.config.Mounts, mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
	u.write()
	r := u.create()
	folder := filepath.Join(memory.Top, "stave-test-limits", "deep")
	file := map[int]string{1: "memory.limit_in_bytes", 2: "memory.max"}[memory.Version]
	inside := filepath.Join("root/sys/fs/cgroup", map[bool]string{true: "", false: filepath.Base(memory.Top)}[memory.Sole], file)
	if got, err := os.ReadFile(filepath.Join(folder, file)); err != nil || string(got) != "67108864\n" || r.read(t, inside) != string(got) {
		t.Errorf("%s is %q, inside %q, want 67108864: %v", file, got, r.read(t, inside), err)
	}
	if f, err := os.OpenFile(fmt.Sprintf("/proc/%d/%s", r.pid, inside), os.O_WRONLY, 0); !errors.Is(err, unix.EROFS) {
		t.Errorf("the container can open the file of its limit for writing: %v %v", f, err)
	}
	if !strings.Contains(r.read(t, "cgroup"), "/stave-test-limits/deep\n") {
		t.Errorf("the cgroups are %s", r.read(t, "cgroup"))
	}
	u.must(0, "delete", "-force", "x")
	if _, err := os.Stat(filepath.Dir(folder)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", filepath.Dir(folder), err)
	}
}

// TestRefused gives configurations that can't be done, or would do something else than they say.
func TestRefused(t *testing.T) {
	without := func(kind specs.LinuxNamespaceType) func(*config) {
		return func(c *config) {
			c.Linux.Namespaces = slices.DeleteFunc(c.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
		}
	}
	for name, change := range map[string]func(*config){
		"version 2":        func(c *config) { c.Version = "2.0.0" },
		"no root":          func(c *config) { c.Root.Path = "" },
		"no command":       func(c *config) { c.Process.Args = nil },
		"relative folder":  func(c *config) { c.Process.Cwd = "tmp" },
		"host's mounts":    without(specs.MountNamespace),
		"host's processes": without(specs.PIDNamespace),
		"host's name":      without(specs.UTSNamespace),
		"users without maps": func(c *config) {
			without(specs.UserNamespace)(c)
			c.Linux.Namespaces = append(c.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			c.Linux.UIDMappings, c.Linux.GIDMappings = nil, nil
		},
		"unknown namespace":   func(c *config) { c.Linux.Namespaces = append(c.Linux.Namespaces, specs.LinuxNamespace{Type: "x"}) },
		"filter without nnp":  func(c *config) { c.Process.NoNewPrivileges = false },
		"terminal":            func(c *config) { c.Process.Terminal = true },
		"more than permitted": func(c *config) { c.Process.Capabilities.Permitted = nil },
		"unknown limit":       func(c *config) { c.Process.Rlimits[0].Type = "RLIMIT_X" },
		"listener": func(c *config) {
			c.Linux.Seccomp.ListenerPath = "/x"
			c.Linux.Seccomp.Syscalls[0].Action = specs.ActNotify
		},
		"unknown action":  func(c *config) { c.Linux.Seccomp.DefaultAction = "x" },
		"bind of nothing": func(c *config) { c.Mounts[0] = mount{Destination: "/x", Type: "bind", Source: "/nothing"} },
		"bind with misspelt r": func(c *config) {
			c.Mounts[0] = mount{Destination: "/x", Type: "bind", Source: "/", Options: []string{"rr"}}
		},
		"writable cgroup": func(c *config) { c.Mounts[0] = mount{Destination: "/x", Type: "cgroup"} },
		"idmapped":        func(c *config) { c.Mounts[0].Options = []string{"idmap"} },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := exampleFor(os.Geteuid(), os.Getegid())
			if err != nil {
				t.Fatal(err)
			}
			u := &caller{t: t, dir: t.TempDir(), config: c}
			u.config.Linux.Resources = nil
			u.write()
			for _, changed := range []bool{false, true} {
				made := &container{ID: "x", folder: filepath.Join(u.dir, "kept", "x")}
				if _, err := made.plan(request{bundle: u.dir}, true, nil); changed != (err != nil) {
					t.Errorf("changed %v, and the error is %v", changed, err)
				}
				change(&u.config)
				u.write()
			}
		})
	}
}

// TestUnknownField gives a configuration with a field that this runtime does not know: it would not be what was asked for.
func TestUnknownField(t *testing.T) {
	u := newCaller(t, 0)
	name := filepath.Join(u.dir, "config.json")
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, bytes.Replace(text, []byte(`"linux":{`), []byte(`"linux":{"sysctl":{"net.ipv4.ip_forward":"1"},`), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if output, code := u.do("create", "x"); code != 1 || !strings.Contains(output, "sysctl") || len(u.kept()) > 0 {
		t.Errorf("exit code %d, want 1 and the field's name; kept %v: %s", code, u.kept(), output)
	}
}

// TestOrdinary lets an ordinary user ask for what he may not: a container without a user namespace, and a limit.
func TestOrdinary(t *testing.T) {
	for name, change := range map[string]func(*config){
		"no user namespace": func(c *config) {
			c.Linux.Namespaces, c.Linux.UIDMappings, c.Linux.GIDMappings = c.Linux.Namespaces[:6], nil, nil
		},
		"limit": func(c *config) {
			c.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(64 << 20))}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newCaller(t, 65534)
			if name == "limit" && os.Geteuid() != 0 {
				t.Skip("needs root: this user's session may have a cgroup of his own")
			}
			change(&u.config)
			u.write()
			if output, code := u.do("create", "x"); code != 1 || len(u.kept()) > 0 {
				t.Errorf("exit code %d, want 1; kept %v: %s", code, u.kept(), output)
			}
		})
	}
}

// TestCommandLine gives names that are no folder of their own, signals that are none, and commands that are none.
func TestCommandLine(t *testing.T) {
	for _, args := range []string{"create", "create .", "create ..", "create a/b", "create ../x", "create .lock", "state x y", "kill x 0", "kill x 65", "kill x SIGNOT", "list x", "start"} {
		words := strings.Fields(args)
		if r, err := parse(words[0], words[1:]); err == nil {
			t.Errorf("%s is taken as %+v", args, r)
		}
	}
	for args, want := range map[string]request{
		"create -bundle b -pid-file p x.y-1": {id: "x.y-1", bundle: "b", pidFile: "p", signal: unix.SIGTERM},
		"kill x":                             {id: "x", signal: unix.SIGTERM},
		"kill x 9":                           {id: "x", signal: unix.SIGKILL},
		"kill x sigusr1":                     {id: "x", signal: unix.SIGUSR1},
		"kill x HUP":                         {id: "x", signal: unix.SIGHUP},
		"delete -force x":                    {id: "x", force: true, signal: unix.SIGTERM},
	} {
		words := strings.Fields(args)
		if r, err := parse(words[0], words[1:]); err != nil || r != want {
			t.Errorf("%s is taken as %+v %v, want %+v", args, r, err, want)
		}
	}
}
