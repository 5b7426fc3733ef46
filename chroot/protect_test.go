// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMask(t *testing.T) {
	inBox(t, func(b *box) {
		b.standard()
		b.file("etc/secret", "secret\n")
		b.file("etc/secrets/one", "secret\n")
		b.link("etc/alias", "secrets")
		b.Masked = []string{"/etc/secret", "/etc/alias", "/proc/timer_list", "/not/there", "/etc/secret/below", "/sys/firmware"}
		b.want(`exec 2>&1; cat /etc/secret; ls /etc/secrets; touch /etc/secrets/x; echo x >/etc/secret; cat /etc/secret
			cat /proc/timer_list; ls /not; umount /etc/secret && cat /etc/secret`,
			"touch: /etc/secrets/x: Read-only file system\nls: /not: No such file or directory\nsecret")
	})
}

// TestMaskNeedsTheRealNull puts other things in the place of the image's /dev/null: what is to be
// masked must not stay in sight.
func TestMaskNeedsTheRealNull(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(b *box)
		want    unix.Errno
	}{
		"a file":                  {func(b *box) { b.file("dev/null", "trap") }, unix.ENODEV},
		"a link to a file":        {func(b *box) { b.file("trap", ""); b.link("dev/null", "/trap") }, unix.ELOOP},
		"a dangling link":         {func(b *box) { b.link("dev/null", "/nothing") }, unix.ELOOP},
		"a folder":                {func(b *box) { must(b.t, os.Mkdir(b.Path+"/dev/null", 0o755)) }, unix.ENODEV},
		"another device":          {func(b *box) { must(b.t, unix.Mknod(b.Path+"/dev/null", unix.S_IFCHR, int(unix.Mkdev(1, 5)))) }, unix.ENODEV},
		"nothing":                 {func(*box) {}, unix.ENOENT},
		"/dev is a file":          {func(b *box) { must(b.t, os.Remove(b.Path+"/dev")); b.file("dev", "") }, unix.ENOTDIR},
		"/dev leads to elsewhere": {func(b *box) { b.file("else/null", ""); b.link("dev", "else") }, unix.ELOOP},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				b.file("etc/secret", "secret\n")
				c.prepare(b)
				b.Masked = []string{"/etc/secret"}
				b.refused("mask /etc/secret", c.want)
			})
		})
	}
}

func TestReadOnlyPaths(t *testing.T) {
	inBox(t, func(b *box) {
		b.mount("proc", "proc", "/proc", "nosuid", "noexec", "nodev")
		b.file("etc/fixed", "fixed\n")
		b.ReadOnlyPaths = []string{"/proc/sys", "/etc/fixed", "/not/there", "/etc/fixed/below", "/data"}
		b.want(`exec 2>&1; echo x >/proc/sys/kernel/hostname; echo x >/etc/fixed; touch /data/x; cat /etc/fixed; touch /etc/free && echo free
			while read a b c d e f g; do case $e in /proc/sys) echo $f;; esac; done </proc/self/mountinfo`,
			"sh: can't create /proc/sys/kernel/hostname: Read-only file system\nsh: can't create /etc/fixed: Read-only file system\n"+
				"touch: /data/x: Read-only file system\nfixed\nfree\nro,nosuid,nodev,noexec,relatime")
	})
}

// TestProtectedRootIsRefused asks to hide or protect the root itself, by name and through a link.
func TestProtectedRootIsRefused(t *testing.T) {
	for _, path := range []string{"/", "/etc/up"} {
		t.Run(path, func(t *testing.T) {
			inBox(t, func(b *box) {
				b.link("etc/up", "../../..")
				b.Devices = DefaultDevices()
				b.Masked = []string{path}
				b.refused("mask "+path, unix.ELOOP)
				b.Masked, b.ReadOnlyPaths = nil, []string{path}
				b.refused("make "+path+" read-only", unix.ELOOP)
			})
		})
	}
}

func TestReadOnlyRoot(t *testing.T) {
	inBox(t, func(b *box) {
		b.standard()
		b.mount("tmpfs", "tmpfs", "/tmp")
		b.mount("bind", b.t.TempDir(), "/made/by/stave", "bind")
		b.ReadOnly = true
		b.want("exec 2>&1; touch /x /etc/x; touch /tmp/x /made/by/stave/x /dev/shm/x && echo others",
			"touch: /x: Read-only file system\ntouch: /etc/x: Read-only file system\nothers")
	})
}

// TestNoDevices has a device node in the image, which must open only where nothing forbids it: not after
// a path is copied, and not after the root is made read-only.
func TestNoDevices(t *testing.T) {
	const script = "exec 2>&1; head -c 3 /etc/zero | wc -c; head -c 3 /dev/zero | wc -c"
	const refused = "head: /etc/zero: Permission denied\n0\n3"
	for name, c := range map[string]struct {
		change func(b *box)
		want   string
	}{
		"allowed":          {func(b *box) { b.NoDevices = false }, "3\n3"},
		"refused":          {func(*box) {}, refused},
		"moved root":       {func(b *box) { b.enter = MoveRoot{} }, refused},
		"read-only root":   {func(b *box) { b.ReadOnly = true }, refused},
		"read-only folder": {func(b *box) { b.ReadOnlyPaths = []string{"/etc"} }, refused},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				must(t, unix.Mknod(b.Path+"/etc/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
				b.standard()
				b.NoDevices = true
				c.change(b)
				b.want(script, c.want)
			})
		})
	}
}

// TestLateCalls makes a folder in a root that is read-only in the end, and one in a mount.
func TestLateCalls(t *testing.T) {
	inBox(t, func(b *box) {
		b.standard()
		b.ReadOnly, b.Late = true, calls(Folder{"/late"}, Folder{"/dev/late"})
		b.want("ls -d /late /dev/late; touch /late/x 2>&1; true", "/dev/late\n/late\ntouch: /late/x: Read-only file system")
	})
}

func TestMountPointsAreMade(t *testing.T) {
	inBox(t, func(b *box) {
		source := b.file("../source/file", "text\n")
		b.mount("bind", source, "/a/b/c/file", "bind")
		b.mount("tmpfs", "tmpfs", "/d/e/f")
		b.mount("tmpfs", "tmpfs", "relative/name/")
		b.mount("bind", source, "/a/../../g//h/./file", "bind")
		b.WorkingDir = "/work/in/here"
		b.want("cat /a/b/c/file /g/h/file; pwd; stat -c '%A' /a/b /d/e /d/e/f /relative/name /work/in",
			"text\ntext\n/work/in/here\ndrwxr-xr-x\ndrwxr-xr-x\ndrwxrwxrwt\ndrwxrwxrwt\ndrwxr-xr-x")
	})
}

// TestWorkingDirOutside enters a folder of the host through a descriptor that leaked (CVE-2024-21626).
func TestWorkingDirOutside(t *testing.T) {
	for name, c := range map[string]struct {
		path  string
		cause unix.Errno
	}{
		"leaked descriptor": {"/proc/self/fd/%d", unix.EXDEV},
		"and up from there": {"/proc/self/fd/%d/..", unix.EXDEV},
		"not there":         {"/nowhere", unix.ENOENT},
		"a file":            {"/bin/busybox", unix.ENOTDIR},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				leaked, err := unix.Open("/etc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				must(t, err)
				defer unix.Close(leaked)
				b.standard()
				path := format(c.path, leaked)
				b.late = calls(WorkingDir{path})
				b.refused("enter the working directory "+path, c.cause)
				b.enter = MoveRoot{}
				b.refused("enter the working directory "+path, c.cause)
			})
		})
	}
}
