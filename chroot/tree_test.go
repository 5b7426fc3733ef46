// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// idMapped appends a bind whose ids 0 to 9 are 1000 to 1009 inside, and groups 2000 to 2009.
func idMapped(b *box, source, target string, options ...string) {
	m := b.mount("bind", source, target, append(options, "bind")...)
	m.UIDs, m.GIDs = []IDRange{{0, 1000, 10}}, []IDRange{{0, 2000, 10}}
}

// owner is who owns a file outside.
func owner(t testing.TB, path string) [2]uint32 {
	t.Helper()
	var stat unix.Stat_t
	must(t, unix.Lstat(path, &stat))
	return [2]uint32{stat.Uid, stat.Gid}
}

// source makes a folder of the host with another one mounted below it. It is no tmpfs: Linux 6.1 can't id-map that.
func source(t testing.TB) string {
	from, inner := filepath.Join(t.TempDir(), "from"), t.TempDir()
	must(t, os.MkdirAll(from+"/below", 0o755))
	must(t, unix.Mount(inner, from+"/below", "", unix.MS_BIND, ""))
	for _, file := range []string{"root", "three", "stranger", "below/root"} {
		must(t, os.WriteFile(from+"/"+file, []byte(file+"\n"), 0o644))
	}
	must(t, os.Chown(from+"/three", 3, 4))
	must(t, os.Chown(from+"/stranger", 50, 50))
	return from
}

func TestIDMappedMount(t *testing.T) {
	for name, c := range map[string]struct {
		options []string
		want    string
	}{
		"the mount alone": {[]string{"idmap"}, "/to/root 1000 2000\n/to/three 1003 2004\n/to/stranger 65534 65534\nstat: can't stat '/to/below/root': No such file or directory"},
		"rbind, idmap":    {[]string{"rbind", "idmap"}, "/to/root 1000 2000\n/to/three 1003 2004\n/to/stranger 65534 65534\n/to/below/root 0 0"},
		"rbind, ridmap":   {[]string{"rbind", "ridmap"}, "/to/root 1000 2000\n/to/three 1003 2004\n/to/stranger 65534 65534\n/to/below/root 1000 2000"},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				idMapped(b, source(t), "/to", c.options...)
				b.want("stat -c '%n %u %g' /to/root /to/three /to/stranger /to/below/root 2>&1; true", c.want)
			})
		})
	}
}

// TestIDMappedWrites writes through the mount as one who is in the map, and as one who is not.
func TestIDMappedWrites(t *testing.T) {
	inBox(t, func(b *box) {
		from := source(t)
		must(t, os.Chmod(from, 0o777))
		idMapped(b, from, "/to", "idmap")
		as := func(uid, gid int) kernel.Call {
			return kernel.Call{Request: raw{"become another", func(a *kernel.Assembler) {
				a.Sys(unix.SYS_SETRESGID, kernel.Int(gid), kernel.Int(gid), kernel.Int(gid))
				a.Sys(unix.SYS_SETRESUID, kernel.Int(uid), kernel.Int(uid), kernel.Int(uid))
			}}}
		}
		b.late = []kernel.Call{as(1003, 2004)}
		b.want("touch /to/new && stat -c '%u %g' /to/new && echo more >>/to/three && cat /to/three", "1003 2004\nthree\nmore")
		if got := owner(t, from+"/new"); got != [2]uint32{3, 4} {
			t.Errorf("outside the new file belongs to %v, want 3 and 4", got)
		}
		b.late = []kernel.Call{as(7, 7)}
		b.want("touch /to/no 2>&1; true", "touch: /to/no: Value too large for defined data type")
	})
}

// TestIDMappedFile maps a single file, with attributes, and shares the map with a second mount.
func TestIDMappedFile(t *testing.T) {
	inBox(t, func(b *box) {
		from := source(t)
		idMapped(b, from+"/root", "/made/here/file", "idmap", "ro", "nosuid", "rslave")
		idMapped(b, from, "/to", "idmap", "private")
		b.mount("proc", "proc", "/proc")
		if n := len(b.HostCalls()); n != 3 {
			t.Errorf("%d host calls, want one map and two trees", n)
		}
		b.want(`stat -c '%u' /made/here/file; touch /made/here/file 2>&1
			while read a b c d e f g h; do case $e in /made*|/to) echo $e $f ${g%%:*};; esac; done </proc/self/mountinfo`,
			"1000\ntouch: /made/here/file: Read-only file system\n/made/here/file ro,nosuid,relatime,idmapped master\n/to rw,relatime,idmapped -")
	})
}

// TestIDMappedInAUserNamespace maps the files of the host's root to the root of the container.
func TestIDMappedInAUserNamespace(t *testing.T) {
	inBox(t, func(b *box) {
		makePassable(t, b)
		b.maps = "0 100000 65536\n"
		must(t, os.Chown(b.Path, 100000, 100000))
		from := source(t)
		m := b.mount("bind", from, "/to", "bind", "idmap")
		m.UIDs, m.GIDs = []IDRange{{0, 100000, 65536}}, []IDRange{{0, 100000, 65536}}
		b.want("stat -c '%u %g' /to/root /to/three && touch /to/new", "0 0\n3 4")
		if got := owner(t, from+"/new"); got != [2]uint32{0, 0} {
			t.Errorf("outside the new file belongs to %v, want root", got)
		}
	})
}

// TestTreesAreCutFromTheHost mounts inside the tree: nothing of it may appear outside.
func TestTreesAreCutFromTheHost(t *testing.T) {
	for name, c := range map[string]struct {
		propagation uintptr
		want        string
	}{
		"slave":   {0, "master"},
		"private": {unix.MS_PRIVATE | unix.MS_REC, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				b.Propagation = c.propagation
				b.mount("proc", "proc", "/proc")
				idMapped(b, source(t), "/to", "idmap")
				b.want("while read a b c d e f g h; do case $e in /to) echo ${g%%:*};; esac; done </proc/self/mountinfo; mount -t tmpfs tmpfs /to/below", c.want)
			})
		})
	}
}

func TestRefusedTrees(t *testing.T) {
	for name, c := range map[string]struct {
		add    func(b *box)
		call   string
		reason string
	}{
		"no ranges":        {func(b *box) { b.mount("bind", "/etc", "/to", "bind", "idmap") }, "refuse the mount on /to", "needs uidMappings and gidMappings"},
		"no bind":          {func(b *box) { b.mount("tmpfs", "tmpfs", "/to", "idmap") }, "refuse the mount on /to", "only a bind"},
		"copy up no tmpfs": {func(b *box) { b.mount("bind", "/etc", "/to", "bind", "tmpcopyup") }, "refuse the mount on /to", "tmpcopyup is for a new tmpfs"},
		"copy up below":    {func(b *box) { b.mount("tmpfs", "t", "/a"); b.mount("tmpfs", "t", "/a/b", "tmpcopyup") }, "refuse the mount on /a/b", "an earlier mount hides"},
		"map of proc":      {func(b *box) { idMapped(b, "/proc", "/to", "idmap") }, "take /proc as a tree", "can't be id-mapped"},
		"no source":        {func(b *box) { idMapped(b, "/none", "/to", "idmap") }, "take /none as a tree", "no such file"},
		"a map too many": {func(b *box) {
			idMapped(b, "/etc", "/to", "idmap")
			b.Mounts[0].UIDs = append(b.Mounts[0].UIDs, IDRange{5, 7000, 10})
		}, "make the id map", "invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			inBox(t, func(b *box) {
				c.add(b)
				_, _, err := b.run("exit 0")
				var failed *kernel.CallError
				if !errors.As(err, &failed) || failed.Side != kernel.HostSide || !strings.HasPrefix(failed.Call.String(), c.call) || !strings.Contains(err.Error(), c.reason) {
					t.Errorf("error is %v, want one of %q with %q", err, c.call, c.reason)
				}
			})
		})
	}
}

func TestCopyUp(t *testing.T) {
	inBox(t, func(b *box) {
		b.file("data/deep/file", "text\n")
		b.file("data/twice", "both\n")
		must(t, os.Link(b.Path+"/data/twice", b.Path+"/data/deep/again"))
		must(t, os.Chown(b.Path+"/data/deep", 7, 8))
		must(t, unix.Chmod(b.Path+"/data/deep", 0o2750))
		must(t, unix.Chmod(b.Path+"/data/twice", 0o4755))
		must(t, unix.Mkfifo(b.Path+"/data/pipe", 0o620))
		must(t, unix.Chmod(b.Path+"/data/pipe", 0o620))
		b.link("data/link", "/etc/passwd")
		old := time.Unix(1_000_000_000, 0)
		must(t, os.Chtimes(b.Path+"/data/deep/file", old, old))
		must(t, os.Chtimes(b.Path+"/data/deep", old, old))
		must(t, os.Chmod(b.Path+"/data", 0o711))
		b.mount("proc", "proc", "/proc")
		b.mount("tmpfs", "tmpfs", "/data", "tmpcopyup", "nosuid", "size=1m")
		b.want(`cd /data; cat deep/file twice; stat -c '%n %A %u:%g %Y' deep deep/file | grep -v '^$'; stat -c '%n %A %h' twice deep/again pipe
			readlink link; stat -c '%A' .; touch new; [ twice -ef deep/again ] && echo same
			while read a b c d e f g; do case $e in /data) echo $f;; esac; done </proc/self/mountinfo`,
			"text\nboth\ndeep drwxr-s--- 7:8 1000000000\ndeep/file -rw-r--r-- 0:0 1000000000\ntwice -rwsr-xr-x 2\ndeep/again -rwsr-xr-x 2\npipe prw--w---- 1\n"+
				"/etc/passwd\ndrwx--x--x\nsame\nrw,nosuid,relatime")
		if _, err := os.Stat(b.Path + "/data/new"); err == nil {
			t.Error("the file that the container made is in the image")
		}
	})
}

func TestCopyUpOptions(t *testing.T) {
	inBox(t, func(b *box) {
		b.file("data/file", "text\n")
		b.mount("tmpfs", "tmpfs", "/data", "tmpcopyup", "ro", "mode=1700", "uid=5")
		b.mount("tmpfs", "tmpfs", "/empty/one", "tmpcopyup")
		b.link("etc/out", "../../../../../../etc")
		b.file("etc/hostname", "the image's\n")
		b.mount("tmpfs", "tmpfs", "/etc/out", "tmpcopyup")
		b.want("cat /data/file; touch /data/x 2>&1; stat -c '%A %u' /data; ls -a /empty/one; cat /etc/hostname; ls /etc/out",
			"text\ntouch: /data/x: Read-only file system\ndrwx-----T 5\n.\n..\nthe image's\nhostname\nout")
	})
}

// TestTreesAsAnOrdinaryUser runs this test binary again as nobody, who may make neither kind.
func TestTreesAsAnOrdinaryUser(t *testing.T) {
	const role = "STAVE_TEST_NOBODY"
	for name, request := range map[string]kernel.Request{
		"copy up": CopyUp{Root: "/", Folder: "/etc", Into: "tree"},
		"id map":  MakeIDMap{UIDs: []IDRange{{0, 1000, 10}}, GIDs: []IDRange{{0, 1000, 10}}, Into: "map"},
		"take":    TakeTree{Source: "/etc", Into: "tree"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(role) != "" || os.Geteuid() != 0 {
				p := kernel.Program{Host: append(calls(request), kernel.Call{Request: kernel.Clone{}})}
				var failed *kernel.CallError
				_, err := p.Start(kernel.Options{})
				if !errors.As(err, &failed) || !errors.Is(err, unix.EPERM) {
					t.Errorf("error is %v, want one that names the call and EPERM", err)
				}
				return
			}
			witness.Need(t, "root")
			self := copyOfTest(t)
			cmd := exec.Command(self, "-test.run=^TestTreesAsAnOrdinaryUser$/^"+strings.ReplaceAll(name, " ", "_")+"$", "-test.count=1")
			cmd.Env, cmd.Dir = append(os.Environ(), role+"=1"), "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// copyOfTest copies the test binary to where every user may run it.
func copyOfTest(t testing.TB) string {
	text, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	path := filepath.Join(t.TempDir(), "test")
	must(t, os.WriteFile(path, text, 0o755))
	for dir := filepath.Dir(path); dir != filepath.Dir(os.TempDir()); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o777|os.ModeSticky)) // nobody also writes: the coverage of a test needs a folder
	}
	return path
}
