// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// inBox runs a test with a box, under a "/" that is shared.
func inBox(t *testing.T, test func(b *box)) {
	t.Helper()
	witness.SharedRoot(t, func() { test(newBox(t)) })
}

// mountsAt are the types and options of the mounts of a process by mount point, the topmost one each.
func mountsAt(t testing.TB, pid int) map[string]witness.Mount {
	found := map[string]witness.Mount{}
	for _, m := range witness.Mounts(t, pid) {
		found[m.Point] = m
	}
	return found
}

func TestEveryKindOfMount(t *testing.T) {
	inBox(t, func(b *box) {
		b.standard()
		b.file("../lent/file", "lent")
		lent := filepath.Join(filepath.Dir(b.Path), "lent")
		b.mount("bind", lent, "/lent/deep/folder", "bind", "ro")
		b.mount("bind", lent+"/file", "/lent/deep/file", "bind", "nosuid")
		b.flags |= unix.CLONE_NEWCGROUP // else the mount would change the options of the machine's own tree
		b.mount("cgroup2", "cgroup2", "/sys/fs/cgroup", "nosuid", "noexec", "nodev", "ro")
		if why := lacks("cgroup2"); why {
			b.Mounts = b.Mounts[:len(b.Mounts)-1]
		}
		read, write, err := os.Pipe()
		must(t, err)
		input, hold, err := os.Pipe()
		must(t, err)
		defer read.Close()
		p := b.program("echo up; read line <&0; exit 7")
		standard := kernel.Call{Request: raw{"read from the pipe", func(a *kernel.Assembler) {
			a.Sys(unix.SYS_DUP3, kernel.FD("in"), kernel.Int(0), kernel.Int(0))
		}}}
		p.Container = append([]kernel.Call{standard}, p.Container...)
		before := witness.Mounts(t, 0)
		process, err := p.Start(kernel.Options{Slots: map[kernel.Slot]int{"out": int(write.Fd()), "in": int(input.Fd())}})
		write.Close()
		input.Close()
		must(t, err)
		up := make([]byte, 3)
		if _, err := io.ReadFull(read, up); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, witness.Mounts(t, 0)); diff != "" {
			t.Errorf("mounts of the container on the host:\n%s", diff)
		}
		inside := mountsAt(t, process.Pid)
		hold.Close()
		if status, _ := process.Wait(); status.ExitStatus() != 7 {
			t.Errorf("exit code %d, want 7", status.ExitStatus())
		}
		checkKinds(t, b, inside)
	})
}

// lacks tells whether the kernel doesn't know a file system.
func lacks(name string) bool {
	text, _ := os.ReadFile("/proc/filesystems")
	return !strings.Contains(string(text), "\t"+name+"\n")
}

// checkKinds compares what the kernel has mounted with the configuration.
func checkKinds(t *testing.T, b *box, inside map[string]witness.Mount) {
	t.Helper()
	for _, m := range b.Mounts {
		got, ok := inside[m.Target]
		if !ok {
			t.Errorf("nothing is mounted on %s", m.Target)
			continue
		}
		if m.Type != "bind" && got.Type != m.Type {
			t.Errorf("%s has type %s, want %s", m.Target, got.Type, m.Type)
		}
		for _, option := range optionNames(m.Options.Flags &^ unix.MS_STRICTATIME) {
			if !strings.Contains(","+got.Options+",", ","+option+",") {
				t.Errorf("%s has options %s, want %s among them", m.Target, got.Options, option)
			}
		}
	}
	if got, want := len(inside), len(b.Mounts)+1; got != want {
		t.Errorf("%d mounts, want %d: %v", got, want, inside)
	}
	if strings.Contains(inside["/dev"].Options, "relatime") || !strings.Contains(inside["/dev/shm"].Super, "size=64k") {
		t.Errorf("/dev has %s, /dev/shm %s", inside["/dev"].Options, inside["/dev/shm"].Super)
	}
	if inside["/"].Shared() {
		t.Errorf("the container's / is shared: %v", inside["/"].Tags)
	}
}

func TestAttributesOfBinds(t *testing.T) {
	for name, c := range map[string]struct {
		options []string
		script  string
		want    string
	}{
		"rw":             {[]string{"bind"}, "touch /to/x && echo written", "written"},
		"ro":             {[]string{"bind", "ro"}, "touch /to/x 2>&1; touch /to/below/x && echo below", "touch: /to/x: Read-only file system\nbelow"},
		"rro":            {[]string{"rbind", "rro"}, "touch /to/x; touch /to/below/x; test -e /to/below/inner && echo seen", "touch: /to/x: Read-only file system\ntouch: /to/below/x: Read-only file system\nseen"},
		"rro, rw on top": {[]string{"rbind", "ro", "rrw"}, "touch /to/x && echo written", "written"},
		"noexec":         {[]string{"bind", "noexec"}, "/to/run; echo $?", "sh: /to/run: Permission denied\n126"},
		"nodev":          {[]string{"bind", "nodev"}, "cat /to/null; echo $?", "cat: can't open '/to/null': Permission denied\n1"},
		"dev":            {[]string{"bind", "dev"}, "cat /to/null; echo $?", "0"},
		"nosymfollow":    {[]string{"bind", "nosymfollow"}, "cat /to/link; echo $?", "cat: can't open '/to/link': Too many levels of symbolic links\n1"},
		"remount":        {[]string{"bind", "ro"}, "cat /to/file && touch /to/file; echo $?", "text\n0"},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				from := filepath.Join(filepath.Dir(b.Path), "from")
				must(t, os.MkdirAll(from+"/below", 0o755))
				must(t, os.WriteFile(from+"/run", []byte("#!/bin/sh\n"), 0o755))
				must(t, os.WriteFile(from+"/file", []byte("text\n"), 0o644))
				must(t, os.Symlink("file", from+"/link"))
				must(t, unix.Mknod(from+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
				must(t, unix.Mount("inner", from+"/below", "tmpfs", 0, ""))
				must(t, os.WriteFile(from+"/below/inner", nil, 0o644))
				m := b.mount("bind", from, "/to", c.options...)
				if m.Options.Flags&unix.MS_REC == 0 && name == "ro" {
					b.mount("tmpfs", "tmpfs", "/to/below")
				}
				if name == "remount" {
					b.mount("", "", "/to", "remount", "bind", "rw")
				}
				b.want("exec 2>&1; "+c.script, c.want)
			})
		})
	}
}

// TestAttributesLeaveOthersAlone makes a bind read-only whose source is nosuid, nodev and noatime.
func TestAttributesLeaveOthersAlone(t *testing.T) {
	inBox(t, func(b *box) {
		from := filepath.Join(filepath.Dir(b.Path), "from")
		must(t, os.Mkdir(from, 0o755))
		must(t, unix.Mount("x", from, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, ""))
		b.mount("proc", "proc", "/proc")
		b.mount("bind", from, "/to", "bind", "ro")
		b.mount("bind", from, "/two", "bind", "suid", "strictatime")
		b.mount("bind", from, "/three", "bind", "relatime")
		b.want("while read a b c d e f g; do case $e in /t*) echo $e $f;; esac; done </proc/self/mountinfo",
			"/to ro,nosuid,nodev,noatime\n/two rw,nodev\n/three rw,nosuid,nodev,relatime")
	})
}

func TestRemountOfTheFileSystem(t *testing.T) {
	inBox(t, func(b *box) {
		b.mount("proc", "proc", "/proc")
		b.mount("tmpfs", "tmpfs", "/dev")
		b.Devices = DefaultDevices()
		b.mount("tmpfs", "tmpfs", "/tmp", "nosuid", "size=1m")
		b.mount("", "", "/tmp", "remount", "noexec", "size=8k")
		b.want("while read a b c d; do [ $b = /tmp ] && echo ${d%8k*}8k; done </proc/self/mounts; dd if=/dev/zero of=/tmp/x bs=4k count=3 2>/dev/null; stat -c %s /tmp/x",
			"rw,nosuid,noexec,relatime,size=8k\n8192")
	})
}

func TestPropagation(t *testing.T) {
	for option, want := range map[string]string{
		"private": "-", "rprivate": "-", "shared": "shared", "rshared": "shared", "slave": "master", "rslave": "master",
		"unbindable": "unbindable", "runbindable": "unbindable",
	} {
		t.Run(option, func(t *testing.T) {
			inBox(t, func(b *box) {
				b.mount("proc", "proc", "/proc")
				b.mount("bind", b.Path+"/etc", "/to", "rbind", option)
				b.want("while read a b c d e f g h; do [ $e = /to ] && echo ${g%%:*}; done </proc/self/mountinfo; true", want)
			})
		})
	}
}

func TestDevicesAndLinks(t *testing.T) {
	inBox(t, func(b *box) {
		b.standard()
		b.Devices = append(b.Devices,
			Device{Path: "/dev/deep/own", Mode: unix.S_IFCHR | 0o640, Major: 1, Minor: 5, UID: 7, GID: 8},
			Device{Path: "/dev/pipe", Mode: unix.S_IFIFO | 0o600})
		b.want(`echo x >/dev/null && head -c 3 /dev/zero | wc -c && echo x 2>&1 >/dev/full; stat -c '%A %t %T' /dev/null
			stat -c '%A %u %g' /dev/deep/own; stat -c %A /dev/pipe
			for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done
			echo through | cat /dev/stdin; head -c 1 /dev/urandom | wc -c; exec 5<>/dev/ptmx && ls /dev/pts`,
			"3\nsh: write error: No space left on device\ncrw-rw-rw- 1 3\ncrw-r----- 7 8\nprw-------\n"+
				"/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\nthrough\n1\n0\nptmx")
	})
}

// TestDevicesInAUserNamespace binds the host's devices, since mknod(2) is forbidden there.
func TestDevicesInAUserNamespace(t *testing.T) {
	inBox(t, func(b *box) {
		makePassable(t, b)
		b.maps, b.BindDevices = "0 100000 65536\n", true
		b.flags |= unix.CLONE_NEWNET
		b.standard()
		must(t, os.Chown(b.Path, 100000, 100000))
		b.want("echo x >/dev/null && head -c 3 /dev/zero | wc -c && id -u", "3\n0")
	})
}

// makePassable lets other users than root reach the box, whose folder t.TempDir keeps to itself.
func makePassable(t testing.TB, b *box) {
	for dir := filepath.Dir(b.Path); dir != filepath.Dir(os.TempDir()); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
}
