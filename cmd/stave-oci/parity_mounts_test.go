// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mountParity are the mounts of the specification: options, sources and places.
func mountParity() map[string]parity {
	return map[string]parity{
		"bind, access times": {changes: []change{
			writable, bound("/m1", "noatime"), bound("/m2", "nodiratime"), bound("/m3", "relatime"), bound("/m4", "strictatime"),
			bound("/m5", "noatime", "nodiratime"), bound("/m6", "noatime", "atime"), bound("/m7", "strictatime", "ro"),
		}},
		"bind, flags": {changes: []change{
			writable, bound("/m1", "ro", "nosuid", "nodev", "noexec"), bound("/m2", "nosuid", "suid", "nodev", "dev"), bound("/m3", "ro", "rw"),
			bound("/m4", "noexec", "exec", "nosuid"), bound("/m5", "rw"), bound("/m6", "ro", "private"), bound("/m7", "defaults"), bound("/m8"),
		}},
		"bind of a mount": {prepare: mountBelow, changes: []change{writable, bound("/m1"), addMount("/m2", "", "bound", "rbind"), addMount("/m3", "", "bound", "rbind", "ro")}},
		"recursive options": {prepare: mountBelow, changes: []change{
			writable, addMount("/m1", "", "bound", "rbind", "rro"), addMount("/m2", "", "bound", "rbind", "rnoexec", "rnosuid", "rnodev"),
			addMount("/m3", "", "bound", "rbind", "rnoatime", "rnodiratime"),
			addMount("/m5", "", "bound", "rbind", "ro", "rrw"), addMount("/m6", "", "bound", "bind", "rstrictatime"),
			addMount("/m7", "", "bound", "rbind", "rrelatime"), addMount("/m8", "", "bound", "rbind", "rsuid", "rdev", "rexec"),
		}},
		"tmpfs, flags": {changes: []change{
			writable, addMount("/m1", "tmpfs", "tmpfs", "sync", "dirsync"), addMount("/m2", "tmpfs", "tmpfs", "nr_inodes=100", "mode=711"),
			addMount("/m3", "tmpfs", "tmpfs", "nodiratime", "noatime", "nosuid", "suid"), addMount("/m4", "tmpfs", "", "size=1m", "mode=700", "uid=3"),
			addMount("/m5", "tmpfs", "tmpfs", "size=10%"), addMount("/m6", "tmpfs", "tmpfs", "iversion"),
		}},
		"tmpfs, filled": {
			prepare: func(t *testing.T, dir string) {
				put(t, filepath.Join(dir, "rootfs/home/file"), "x", 0o640)
				put(t, filepath.Join(dir, "rootfs/home/program"), "x", 0o755)
				makeFolder(t, filepath.Join(dir, "rootfs/home/below"), 0o711)
				makeLink(t, "file", filepath.Join(dir, "rootfs/home/below/link"))
			},
			changes: []change{addMount("/home", "tmpfs", "tmpfs", "tmpcopyup", "mode=755", "size=1m", "nodev")},
		},
		"mounts of the system, other options": {changes: []change{
			options("/proc", "nosuid", "noexec", "nodev"), options("/sys", "nosuid", "rw", "relatime"), options("/dev/pts", "newinstance", "ptmxmode=0600", "mode=0600"),
			options("/dev/shm", "mode=1777", "noexec", "size=1m"), options("/dev/mqueue"), options("/dev", "mode=755", "noexec", "size=1m"),
		}},
		"proc, hidden":     {changes: []change{options("/proc", "hidepid=2", "gid=7")}},
		"sysfs of another": {changes: []change{options("/sys", "ro", "nodev", "noatime")}},
		"no mqueue, shm":   {changes: []change{noMount("/dev/mqueue"), noMount("/dev/shm")}},
		"no pts":           {changes: []change{noMount("/dev/pts")}},
		"no sysfs":         {changes: []change{noMount("/sys/fs/cgroup"), noMount("/sys")}},
		"no cgroup mount":  {changes: []change{noMount("/sys/fs/cgroup")}},
		"no dev":           {changes: []change{writable, noMount("/dev"), noMount("/dev/pts"), noMount("/dev/shm"), noMount("/dev/mqueue")}},
		"no mounts but proc": {changes: []change{writable, func(s *specs.Spec) {
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination != "/proc" })
		}}},
		"dev of the host": {changes: []change{noMount("/dev/pts"), noMount("/dev/shm"), noMount("/dev/mqueue"), noMount("/dev"), addMount("/dev", "bind", "/dev", "rbind", "ro")}},
		"over proc": {changes: []change{
			addMount("/proc/uptime", "bind", "file", "bind", "ro"), addMount("/proc/loadavg", "bind", "file", "bind"), addMount("/proc/meminfo", "bind", "file", "bind"),
		}},
		"over each other": {changes: []change{
			writable, addMount("/tmp", "tmpfs", "tmpfs", "mode=755"), bound("/tmp/a/b"), addMount("/tmp/a", "tmpfs", "tmpfs", "mode=700"), bound("/data"), addMount("/data", "tmpfs", "tmpfs", "ro", "mode=755"),
		}},
		"relative destination": {changes: []change{writable, addMount("data", "bind", "bound", "rbind"), addMount("new/folder", "tmpfs", "tmpfs", "mode=755")}},
		"destinations with dots": {changes: []change{
			writable, addMount("/data/../home", "bind", "bound", "rbind"), addMount("/../../tmp/./x", "tmpfs", "tmpfs", "mode=755"), addMount("//data//y/", "tmpfs", "tmpfs", "mode=755"),
		}},
		"destinations by links": {
			prepare: func(t *testing.T, dir string) {
				link("data", "/home")(t, dir)
				link("tmp", "../../../../home/../etc")(t, dir)
				makeLink(t, "/etc/group", filepath.Join(dir, "rootfs/home/group"))
			},
			changes: []change{writable, bound("/data/x"), addMount("/tmp/y/z", "tmpfs", "tmpfs", "mode=755"), addMount("/home/group", "bind", "file", "bind", "ro")},
		},
		"overlay": {
			prepare: func(t *testing.T, dir string) {
				for _, name := range []string{"upper", "lower"} {
					makeFolder(t, filepath.Join(dir, name), 0o755)
					put(t, filepath.Join(dir, name, name), "x", 0o644)
					edit("$DIR", dir)(t, dir)
				}
			},
			changes: []change{addMount("/data", "overlay", "overlay", "lowerdir=$DIR/upper:$DIR/lower", "nodev", "noatime")},
		},
		"masked": {
			prepare: func(t *testing.T, dir string) {
				put(t, filepath.Join(dir, "rootfs/home/file"), "secret", 0o644)
				makeFolder(t, filepath.Join(dir, "rootfs/home/below"), 0o755)
				makeLink(t, "/home/below", filepath.Join(dir, "rootfs/home/link"))
			},
			changes: []change{func(s *specs.Spec) {
				s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/home/file", "/home/link", "/no/such", "/sys/kernel", "/proc/uptime", "/proc/uptime")
				s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/home", "/no/such", "/dev/shm", "/sys/fs", "/dev/null", "/home")
			}},
		},
		"masked mounts": {prepare: mountBelow, changes: []change{
			writable, addMount("/data", "bind", "bound", "rbind", "nosuid", "nodev"), addMount("/tmp", "tmpfs", "tmpfs", "noexec", "mode=755"), func(s *specs.Spec) {
				s.Linux.ReadonlyPaths = []string{"/data", "/tmp", "/proc/sys", "/proc/self/../irq"}
				s.Linux.MaskedPaths = []string{"/data/below", "/proc/kcore", "/sys/firmware"}
			},
		}},
	}
}

// propagationParity are the ways in which mounts of both sides appear on the other.
func propagationParity() map[string]parity {
	table := map[string]parity{
		"propagation of binds": {prepare: mountBelow, changes: []change{
			writable, bound("/m1", "shared"), bound("/m2", "slave"), bound("/m3", "private"), bound("/m4", "unbindable"), bound("/m5", "shared", "slave"),
			addMount("/m6", "", "bound", "rbind", "rshared"), addMount("/m7", "", "bound", "rbind", "rslave"), addMount("/m8", "", "bound", "rbind", "rprivate"),
			addMount("/m9", "", "bound", "rbind", "runbindable"), addMount("/ma", "", "bound", "rbind", "slave"),
			addMount("/mb", "tmpfs", "tmpfs", "shared"), addMount("/mc", "tmpfs", "tmpfs", "unbindable"),
		}},
	}
	for _, shared := range []bool{false, true} {
		on := ""
		if shared {
			on = ", shared machine"
			table["propagation of binds"+on] = parity{shared: true, prepare: mountBelow, changes: table["propagation of binds"].changes}
			table["default"+on] = parity{shared: true}
		}
		// Of shared and unbindable, runc 1.1 does not give them to the container's own mounts, or fails: the validation of the
		// runtime-tools looks at those.
		for _, mode := range []string{"slave", "rslave", "private", "rprivate"} {
			table["root is "+mode+on] = parity{shared: shared, changes: []change{writable, bound("/data", "rbind"), func(s *specs.Spec) { s.Linux.RootfsPropagation = mode }}}
		}
	}
	return table
}

// bound binds the bundle's folder bound.
func bound(destination string, options ...string) change {
	return addMount(destination, "", "bound", append([]string{"bind"}, options...)...)
}

// mountBelow mounts something with flags below the folder to bind.
func mountBelow(t *testing.T, dir string) {
	t.Helper()
	below := filepath.Join(dir, "bound/below")
	makeFolder(t, below, 0o755)
	mountOver(t, "tmpfs", below, "tmpfs", unix.MS_NOSUID|unix.MS_NODIRATIME, "size=1m,mode=755")
}

// options replaces the options of a mount that runc spec writes.
func options(destination string, options ...string) change {
	return func(s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Destination == destination {
				s.Mounts[i].Options = options
			}
		}
	}
}

// noMount takes a mount away.
func noMount(destination string) change {
	return func(s *specs.Spec) {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == destination })
	}
}

// makeFolder makes a folder with a mode.
func makeFolder(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Mkdir(name, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// makeLink makes a symbolic link.
func makeLink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}
