// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"errors"
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

// raw is a request that a test puts together itself.
type raw struct {
	name string
	add  func(a *kernel.Assembler)
}

func (r raw) String() string               { return r.name }
func (r raw) Shell() string                { return "" }
func (r raw) Assemble(a *kernel.Assembler) { r.add(a) }

// box is a root file system with busybox in it, and how a program is run in there.
type box struct {
	t testing.TB
	Root
	// enter changes the root; nil means Pivot.
	enter kernel.Request
	// flags are the new namespaces beside the mount namespace.
	flags uintptr
	// host comes before the clone, late before the working directory is entered.
	host, late []kernel.Call
	// step, if set, is called before each call.
	step func(kernel.Step) error
	// maps, if set, are the id maps of a new user namespace.
	maps string
}

// newBox makes a root file system in a temporary folder.
func newBox(t testing.TB) *box {
	t.Helper()
	witness.Need(t, "command:busybox")
	root := filepath.Join(t.TempDir(), "root")
	busybox := which(t, "busybox")
	for _, dir := range []string{"bin", "proc", "dev", "sys", "tmp", "etc", "data"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755))
	for _, name := range []string{"sh", "cat", "ls", "stat", "touch", "mount", "umount", "id", "readlink", "mkdir", "rm", "head", "wc", "test", "grep", "dd", "find", "chroot", "pwd", "printf", "sleep", "xargs"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	return &box{t: t, Root: Root{Path: root}, flags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC}
}

// which reads a statically linked program.
func which(t testing.TB, name string) []byte {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return text
		}
	}
	t.Fatalf("%s is not in PATH", name)
	return nil
}

// must fails the test on an error of its preparation.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// program is the program of the box: mount namespace, root, and a shell script.
func (b *box) program(script string) kernel.Program {
	p := kernel.Program{Host: append(b.HostCalls(), b.host...)}
	flags := b.flags | unix.CLONE_NEWNS
	add := func(r kernel.Request) { p.Container = append(p.Container, kernel.Call{Request: r}) }
	if b.maps != "" {
		const point = "the maps"
		p.Host = append(p.Host,
			kernel.Call{Request: kernel.Clone{Flags: flags | unix.CLONE_NEWUSER}}, kernel.Call{Request: kernel.Await{Point: point}},
			kernel.Call{Request: kernel.WriteFile{Path: "/proc/$pid/uid_map", Data: b.maps}},
			kernel.Call{Request: kernel.WriteFile{Path: "/proc/$pid/gid_map", Data: b.maps}}, kernel.Call{Request: kernel.Release{Point: point}})
		add(kernel.Wait{Point: point})
		add(raw{"become root", func(a *kernel.Assembler) {
			zero := kernel.Int(0)
			a.Sys(unix.SYS_SETRESGID, zero, zero, zero)
			a.Sys(unix.SYS_SETRESUID, zero, zero, zero)
		}})
	} else {
		p.Host = append(p.Host, kernel.Call{Request: kernel.Clone{Flags: flags}})
	}
	add(raw{"take modes as they are", func(a *kernel.Assembler) { a.Sys(unix.SYS_UMASK, kernel.Int(0)) }})
	p.Container = append(p.Container, b.Calls()...)
	if b.enter == nil {
		b.enter = Pivot{}
	}
	add(b.enter)
	p.Container = append(p.Container, b.late...)
	if b.WorkingDir != "" {
		add(WorkingDir{b.WorkingDir})
	}
	add(raw{"write to the pipe", func(a *kernel.Assembler) {
		for _, fd := range []int{1, 2} {
			a.Sys(unix.SYS_DUP3, kernel.FD("out"), kernel.Int(fd), kernel.Int(0))
		}
	}})
	add(kernel.CloseDescriptors{})
	add(kernel.Exec{Args: []string{"/bin/busybox", "sh", "-c", script}, Env: []string{"PATH=/bin"}})
	return p
}

// run runs a script in the box and returns what it writes, its exit code, and the error of the set-up.
// It checks that no mount appears or vanishes outside.
func (b *box) run(script string) (out string, code int, err error) {
	b.t.Helper()
	read, write, err := os.Pipe()
	must(b.t, err)
	defer read.Close()
	before := witness.Mounts(b.t, 0)
	process, err := b.program(script).Start(kernel.Options{Step: b.step, Slots: map[kernel.Slot]int{"out": int(write.Fd())}})
	write.Close()
	if err == nil {
		text, readErr := io.ReadAll(read)
		must(b.t, readErr)
		status, waitErr := process.Wait()
		must(b.t, waitErr)
		out, code = string(text), status.ExitStatus()
	}
	if diff := cmp.Diff(before, witness.Mounts(b.t, 0)); diff != "" {
		b.t.Errorf("mounts outside changed (-before +after):\n%s", diff)
	}
	return out, code, err
}

// want runs a script whose output and exit code 0 are known.
func (b *box) want(script, want string) {
	b.t.Helper()
	out, code, err := b.run(script)
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(want, strings.TrimSpace(out)); diff != "" || code != 0 {
		b.t.Errorf("%s: exit code %d, output (-want +got):\n%s", script, code, diff)
	}
}

// refused runs a program that must fail in the call whose text begins so, with this error.
func (b *box) refused(call string, cause unix.Errno) {
	b.t.Helper()
	_, _, err := b.run("exit 0")
	var failed *kernel.CallError
	if !errors.As(err, &failed) {
		b.t.Fatalf("error %v is no CallError", err)
	}
	if !strings.HasPrefix(failed.Call.String(), call) || !errors.Is(err, cause) {
		b.t.Errorf("error is %q, want one of %q with %q", err, call, cause)
	}
}

// mount appends a mount with option strings.
func (b *box) mount(kind, source, target string, options ...string) *MountPoint {
	info, err := os.Stat(source)
	m := MountPoint{Type: kind, Source: source, Target: target, Options: ParseOptions(options), File: err == nil && !info.IsDir()}
	b.Mounts = append(b.Mounts, m)
	return &b.Mounts[len(b.Mounts)-1]
}

// standard appends the mounts, devices and links that every container has.
func (b *box) standard() {
	b.mount("proc", "proc", "/proc", "nosuid", "noexec", "nodev")
	b.mount("tmpfs", "tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k")
	b.mount("devpts", "devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
	b.mount("tmpfs", "shm", "/dev/shm", "nosuid", "noexec", "nodev", "mode=1777", "size=64k")
	b.mount("mqueue", "mqueue", "/dev/mqueue", "nosuid", "noexec", "nodev")
	b.mount("sysfs", "sysfs", "/sys", "nosuid", "noexec", "nodev", "ro")
	b.Devices, b.Links = DefaultDevices(), DefaultLinks(false)
}

// file makes a file of the root, with its folders.
func (b *box) file(name, text string) string {
	b.t.Helper()
	full := filepath.Join(b.Path, name)
	must(b.t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(b.t, os.WriteFile(full, []byte(text), 0o644))
	return full
}

// link replaces a name of the root by a symbolic link.
func (b *box) link(name, to string) {
	b.t.Helper()
	full := filepath.Join(b.Path, name)
	must(b.t, os.RemoveAll(full))
	must(b.t, os.Symlink(to, full))
}
