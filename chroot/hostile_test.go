// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// format fills the one verb of a text, if it has one.
func format(text string, n int) string { return strings.ReplaceAll(text, "%d", fmt.Sprint(n)) }

// calls makes calls of requests.
func calls(requests ...kernel.Request) []kernel.Call {
	var list []kernel.Call
	for _, r := range requests {
		list = append(list, kernel.Call{Request: r})
	}
	return list
}

// hostileNames are what an image may have in the place of a mount point: by name, the target of a
// link. OUTSIDE stands for a folder of the host.
func hostileNames() map[string]string {
	return map[string]string{
		"the root":          "/",
		"far up":            "../../../../../..",
		"outside":           "OUTSIDE",
		"up and outside":    "../../../../../..OUTSIDE",
		"outside, dangling": "OUTSIDE/missing",
		"dangling":          "nothing/here",
		"itself":            "loop",
		"a magic link":      "/proc/self/root",
		"a magic cwd":       "/proc/self/cwd",
	}
}

// TestHostileMountPoints replaces mount points, and folders on the way to them, by links. Each mount
// must land inside the root, or fail with its name; nothing outside may change.
func TestHostileMountPoints(t *testing.T) {
	mounts := map[string]func(b *box){
		"proc":           func(b *box) { b.mount("proc", "proc", "/loop") },
		"sysfs":          func(b *box) { b.mount("sysfs", "sysfs", "/loop", "ro") },
		"tmpfs":          func(b *box) { b.mount("tmpfs", "tmpfs", "/loop") },
		"tmpfs below":    func(b *box) { b.mount("tmpfs", "tmpfs", "/loop/below/deep") },
		"bind":           func(b *box) { b.mount("bind", b.Path+"/etc", "/loop", "rbind") },
		"bind of a file": func(b *box) { b.mount("bind", b.Path+"/bin/busybox", "/loop", "bind") },
		"file below":     func(b *box) { b.mount("bind", b.Path+"/bin/busybox", "/loop/below/file", "bind") },
		"tmpcopyup":      func(b *box) { b.mount("tmpfs", "tmpfs", "/loop", "tmpcopyup") },
		"id-mapped":      func(b *box) { idMapped(b, b.Path+"/etc", "/loop", "idmap") },
		"masked":         func(b *box) { b.Devices, b.Masked = DefaultDevices(), []string{"/loop"} },
		"masked below":   func(b *box) { b.Devices, b.Masked = DefaultDevices(), []string{"/loop/sentinel"} },
		"read-only":      func(b *box) { b.ReadOnlyPaths = []string{"/loop"} },
		"device": func(b *box) {
			b.Devices = []Device{{Path: "/loop/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}}
		},
		"link":            func(b *box) { b.Links = []Symlink{{"/etc", "/loop/link"}} },
		"working folder":  func(b *box) { b.WorkingDir = "/loop/work" },
		"attributes":      func(b *box) { b.mount("", "", "/loop", "remount", "bind", "noexec") },
		"remounted":       func(b *box) { b.mount("", "", "/loop", "remount", "size=1m") },
		"propagation too": func(b *box) { b.mount("tmpfs", "tmpfs", "/loop", "rshared", "rro") },
	}
	for kind, add := range mounts {
		for name, to := range hostileNames() {
			t.Run(kind+" on "+name, func(t *testing.T) {
				inBox(t, func(b *box) { checkHostile(b, to, add) })
			})
		}
	}
}

// checkHostile runs a box whose "loop" is a link, and looks at what is outside.
func checkHostile(b *box, to string, add func(b *box)) {
	b.t.Helper()
	outside := filepath.Join(filepath.Dir(b.Path), "outside")
	must(b.t, os.Mkdir(outside, 0o755))
	must(b.t, os.WriteFile(outside+"/sentinel", []byte("untouched"), 0o644))
	b.link("loop", strings.ReplaceAll(to, "OUTSIDE", outside))
	add(b)
	around := names(b.t, "/", ".")
	_, code, err := b.run("exit 0")
	if diff := cmp.Diff(around, names(b.t, "/", ".")); diff != "" {
		b.t.Errorf("made outside (-before +after), remove it:\n%s", diff)
	}
	var failed *kernel.CallError
	if err != nil && !errors.As(err, &failed) {
		b.t.Errorf("error %v is no CallError", err)
	}
	if err == nil && code != 0 {
		b.t.Errorf("exit code %d", code)
	}
	text, err := os.ReadFile(outside + "/sentinel")
	must(b.t, err)
	entries, err := os.ReadDir(outside)
	must(b.t, err)
	if string(text) != "untouched" || len(entries) != 1 {
		b.t.Errorf("outside there is %q and %d entries", text, len(entries))
	}
}

// names lists what is in folders of the host to which the hostile links lead.
func names(t testing.TB, folders ...string) []string {
	t.Helper()
	var found []string
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		must(t, err)
		for _, e := range entries {
			found = append(found, filepath.Join(folder, e.Name()))
		}
	}
	return found
}

// TestHostileRootsAreNamed looks at the error of each refusal.
func TestHostileRootsAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(b *box)
		call    string
		cause   unix.Errno
	}{
		"proc is a link to /":          {func(b *box) { b.link("proc", "/") }, "mount proc on /proc", unix.ELOOP},
		"proc is a link to a folder":   {func(b *box) { b.link("proc", "etc") }, "mount proc on /proc", unix.ELOOP},
		"proc is a file":               {func(b *box) { must(b.t, os.Remove(b.Path+"/proc")); b.file("proc", "") }, "mount proc on /proc", unix.ENOTDIR},
		"sys is a link":                {func(b *box) { b.link("sys", "../../sys") }, "mount sysfs on /sys", unix.ELOOP},
		"dev is a link to /":           {func(b *box) { b.link("dev", "/") }, "mount tmpfs on /dev", unix.ELOOP},
		"dev dangles":                  {func(b *box) { b.link("dev", "/none") }, "mount tmpfs on /dev", unix.ENOENT},
		"dev is a file":                {func(b *box) { must(b.t, os.Remove(b.Path+"/dev")); b.file("dev", "") }, "mount tmpfs on /dev", unix.ENOTDIR},
		"a file in the middle":         {func(b *box) { b.file("mid", ""); b.mount("tmpfs", "tmpfs", "/mid/dle") }, "mount tmpfs on /mid/dle", unix.ENOTDIR},
		"a dangling middle":            {func(b *box) { b.link("mid", "/none"); b.mount("tmpfs", "tmpfs", "/mid/dle") }, "mount tmpfs on /mid/dle", unix.ENOENT},
		"bind of a file on a folder":   {func(b *box) { b.mount("bind", "/etc/passwd", "/etc", "bind") }, "bind /etc/passwd on /etc", unix.EINVAL},
		"bind of a folder on a file":   {func(b *box) { b.file("f", ""); b.mount("bind", "/etc", "/f", "bind") }, "bind /etc on /f", unix.EINVAL},
		"bind of what is not there":    {func(b *box) { b.mount("bind", "/none", "/f", "bind") }, "bind /none on /f", unix.ENOENT},
		"an option nobody knows":       {func(b *box) { b.mount("tmpfs", "tmpfs", "/tmp", "wrong=1") }, "mount tmpfs on /tmp (wrong=1)", unix.EINVAL},
		"a file system nobody knows":   {func(b *box) { b.mount("nofs", "none", "/tmp") }, "mount nofs on /tmp", unix.ENODEV},
		"something mounted on / ":      {func(b *box) { b.mount("tmpfs", "tmpfs", "/") }, "mount tmpfs on /", unix.ELOOP},
		"device in a folder's place":   {func(b *box) { b.Devices = []Device{{Path: "/bin/busybox/x", Mode: unix.S_IFIFO}} }, "make the device /bin/busybox/x", unix.ENOTDIR},
		"attributes of no mount":       {func(b *box) { b.mount("", "", "/etc", "remount", "bind", "ro") }, "make /etc ro", unix.EINVAL},
		"a root that is not there":     {func(b *box) { b.Path += "/none" }, "bind the root", unix.ENOENT},
		"a root that is a file":        {func(b *box) { b.Path += "/bin/busybox" }, "bind the root", unix.ENOTDIR},
		"a working folder in a file":   {func(b *box) { b.WorkingDir = "/bin/busybox/x" }, "make the folder /bin/busybox/x", unix.ENOTDIR},
		"a link where a link shall be": {func(b *box) { b.Links = []Symlink{{"/x", "/none/x"}} }, "link /none/x to /x", unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				b.standard()
				c.prepare(b)
				b.refused(c.call, c.cause)
			})
		})
	}
}

// TestFullTmpfs mounts into a tmpfs that has no room for the mount point, and copies into one.
func TestFullTmpfs(t *testing.T) {
	inBox(t, func(b *box) {
		b.mount("tmpfs", "tmpfs", "/tmp", "nr_inodes=2")
		b.mount("tmpfs", "tmpfs", "/tmp/a/b")
		b.refused("mount tmpfs on /tmp/a/b", unix.ENOSPC)
		b.Mounts = nil
		b.mount("tmpfs", "tmpfs", "/bin", "tmpcopyup", "size=64k")
		b.refused("fill a tmpfs with what the image has in /bin", unix.ENOSPC)
	})
}
