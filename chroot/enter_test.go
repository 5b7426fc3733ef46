// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// escape is the classic way out of a chroot: enter a second one without going there, and climb.
func escape() kernel.Call {
	return kernel.Call{Request: raw{"escape", func(a *kernel.Assembler) {
		a.Sys(unix.SYS_MKDIRAT, kernel.Int(unix.AT_FDCWD), kernel.Str("/tmp/deeper"), kernel.Int(0o755))
		a.Sys(unix.SYS_CHROOT, kernel.Str("/tmp/deeper"))
		for range 20 {
			a.Sys(unix.SYS_CHDIR, kernel.Str(".."))
		}
		a.Sys(unix.SYS_CHROOT, kernel.Str("."))
	}}}
}

// TestEscape tries to get at a file outside from each way into a root: a way that a process with
// CAP_SYS_CHROOT finds out of chroot alone.
func TestEscape(t *testing.T) {
	for name, c := range map[string]struct {
		enter   func(b *box) kernel.Request
		escapes bool
	}{
		"chroot":     {func(b *box) kernel.Request { return Chroot{b.Path} }, true},
		"move":       {func(*box) kernel.Request { return MoveRoot{} }, false},
		"pivot_root": {func(*box) kernel.Request { return Pivot{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				sentinel := b.file("../sentinel", "")
				b.enter, b.late = c.enter(b), []kernel.Call{escape()}
				// The shell of the root and that of the host are both called /bin/busybox.
				must(t, linkBusybox(b))
				out, _, err := b.run("if [ -e " + sentinel + " ]; then echo outside; else echo inside; fi")
				must(t, err)
				if got := out == "outside\n"; got != c.escapes {
					t.Errorf("the script is %q", out)
				}
			})
		})
	}
}

// linkBusybox sees to a /bin/busybox on the host, in this mount namespace alone.
func linkBusybox(b *box) error {
	if _, err := os.Stat("/bin/busybox"); err == nil {
		return nil
	}
	return unix.Mount(filepath.Join(b.Path, "bin"), "/bin", "", unix.MS_BIND, "")
}

// TestNothingOfTheHostIsLeft lists what the container has mounted after each way in that hides it.
func TestNothingOfTheHostIsLeft(t *testing.T) {
	inBox(t, func(b *box) {
		b.mount("proc", "proc", "/proc")
		b.want("while read a b c d e f; do echo $e; done </proc/self/mountinfo", "/\n/proc")
	})
}

func TestMoveRoot(t *testing.T) {
	inBox(t, func(b *box) {
		b.enter = MoveRoot{}
		b.standard()
		b.ReadOnly, b.WorkingDir = true, "/etc"
		b.want("pwd; echo x >/dev/null; ls -d /proc/1; touch /x 2>&1; true", "/etc\n/proc/1\ntouch: /x: Read-only file system")
	})
}

// TestSharedPropagation makes a root whose "/" stays shared, as linux.rootfsPropagation may ask.
func TestSharedPropagation(t *testing.T) {
	inBox(t, func(b *box) {
		b.Propagation = unix.MS_PRIVATE | unix.MS_REC
		b.mount("proc", "proc", "/proc")
		b.late = calls(Propagation{Target: "/", Host: true, Flags: unix.MS_SHARED | unix.MS_REC})
		b.want("while read a b c d e f g h; do case $e in /) echo ${g%%:*};; esac; done </proc/self/mountinfo", "shared")
	})
}
