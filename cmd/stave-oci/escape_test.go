// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// dockerLike gives a container the rights that docker run gives: the default capabilities, and the default filter.
func dockerLike(t *testing.T) change {
	t.Helper()
	names := []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
		"CAP_MKNOD", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
	return func(s *specs.Spec) {
		writable(s)
		s.Process.NoNewPrivileges = false
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
		dockerProfile(t)(s)
	}
}

// TestLeavingTheRoot tries the ways by which a root of old got out, from a container with docker's rights.
// Outside, beside the root file system, lies a file that none may reach.
func TestLeavingTheRoot(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, script := range map[string]string{
		"dots":               `cd /; cat ../../../../$SECRET ../secret`,
		"dots of a link":     `ln -s ../../../../../../../../.. /tmp/up; cat /tmp/up/$SECRET`,
		"root of process 1":  `cat /proc/1/root/../secret /proc/1/root/$SECRET /proc/1/cwd/../secret`,
		"root of the shell":  `cat /proc/self/root/../../$SECRET /proc/self/cwd/../secret`,
		"chroot":             `mkdir /tmp/jail; cd /; chroot /tmp/jail true; chroot /tmp/jail cat ../../secret; chroot /proc/1/root cat /$SECRET`,
		"map files":          `for f in /proc/self/map_files/* /proc/1/exe; do cat $f/../../secret; done; cat /$SECRET`,
		"mounts":             `mkdir /tmp/m; mount -t proc proc /tmp/m; mount --bind / /tmp/m; mount -o remount,rw /proc/sys; umount /proc/acpi; mount -t ext4 /dev/vda /tmp/m; cat /tmp/m/$SECRET`,
		"umount of the root": `umount -l /; umount -l /..; cat /$SECRET`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, script+"\necho tried", dockerLike(t))
			put(t, filepath.Join(dir, "secret"), "treasure\n", 0o644)
			edit("$SECRET", strings.TrimPrefix(dir, "/")+"/secret")(t, dir)
			got := run(t, oci(dir))
			if strings.Contains(got.out, "treasure") {
				t.Errorf("the container read a file of the host:\n%s%s", got.out, got.err)
			}
			if !strings.HasSuffix(got.out, "tried\n") || got.code != 0 {
				t.Errorf("exit code %d, output %q: %s", got.code, got.out, got.err)
			}
		})
	}
}

// TestChrootEscape is the classic one, which works in a plain chroot: chroot into a folder while the working
// folder stays above it, then climb.
func TestChrootEscape(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	out := runInside(t, "climb")
	for _, part := range []string{"chroot: <nil>", "chroot to the top: <nil>", "at the top: inside"} {
		if !strings.Contains(out, part) {
			t.Errorf("the climber did not say %q:\n%s", part, out)
		}
	}
	if strings.Contains(out, "treasure") {
		t.Errorf("the climber read a file of the host:\n%s", out)
	}
}

// TestOpenByHandle tries the shocker attack: open_by_handle_at(2) takes any inode of the file system that the
// root lies on, whatever the root. It needs CAP_DAC_READ_SEARCH, which is not given.
func TestOpenByHandle(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	out := runInside(t, "handle")
	if !strings.Contains(out, "root: <nil>") || !strings.Contains(out, "open by handle: operation not permitted") {
		t.Error(out)
	}
}

// runInside runs the program inside in a container with docker's rights, and returns its output.
func runInside(t *testing.T, arg string) string {
	t.Helper()
	program, err := os.ReadFile(inside)
	if err != nil {
		t.Fatal(err)
	}
	dir := newBundle(t, "", dockerLike(t), func(s *specs.Spec) { s.Process.Args = []string{"/bin/inside", arg} })
	put(t, filepath.Join(dir, "rootfs/bin/inside"), string(program), 0o755)
	put(t, filepath.Join(dir, "secret"), "treasure\n", 0o644)
	put(t, filepath.Join(dir, "rootfs/inside"), "inside\n", 0o644)
	got := run(t, oci(dir))
	if got.code != 0 {
		t.Fatalf("exit code %d: %s%s", got.code, got.out, got.err)
	}
	return got.out
}

// TestHostDevices tries to reach the host's disk and memory, with nodes that it makes: docker allows that, too, but
// not to open them.
func TestHostDevices(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	const script = `mknod /tmp/disk b 254 0 && mknod /tmp/mem c 1 1 && mknod /dev/kmsg c 1 11 || exit
cat /tmp/disk /tmp/mem /dev/mem /dev/kmsg /dev/vda /dev/sda /proc/kcore | head -c 1 | wc -c
rm /tmp/disk /tmp/mem /dev/kmsg
for f in $(find / -xdev -type b) $(find / -type b -o -type c); do echo $f; done`
	got := run(t, oci(newBundle(t, script, dockerLike(t))))
	lines := strings.Fields(got.out)
	if len(lines) == 0 || lines[0] != "0" {
		t.Fatalf("something of the host's devices was read: %s%s", got.out, got.err)
	}
	for _, device := range lines[1:] {
		switch device {
		case "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts/ptmx",
			"/proc/kcore", "/proc/keys", "/proc/timer_list": // the three are masked by the null device
		default:
			t.Errorf("there is a device %s", device)
		}
	}
}

// TestProgramCannotBeOverwritten tries to write the host's stave-oci from inside, through /proc/self/exe, which
// may lead to it as long as the set-up process has not executed the command (CVE-2019-5736).
func TestProgramCannotBeOverwritten(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	before := digest(t, staveOCI)
	const overwrite = "for n in 1 2 3 4 5 6 7 8; do for f in /proc/[0-9]*/exe; do (echo bad >$f) 2>/dev/null; (echo bad >>$f) 2>/dev/null; done; done; echo tried"
	for name, change := range map[string]func(t *testing.T, dir string) []string{
		"command":   func(*testing.T, string) []string { return []string{"/proc/self/exe", "--version"} },
		"run again": func(*testing.T, string) []string { return []string{"/proc/self/exe", "run", "x"} },
		"link": func(t *testing.T, dir string) []string {
			link("bin/entry", "/proc/self/exe")(t, dir)
			return []string{"/bin/entry", "features"}
		},
		"interpreter": func(t *testing.T, dir string) []string {
			put(t, filepath.Join(dir, "rootfs/bin/entry"), "#!/proc/self/exe\n", 0o755)
			return []string{"/bin/entry"}
		},
		"thread": func(*testing.T, string) []string { return []string{"/proc/thread-self/exe", "--version"} },
		"script": func(*testing.T, string) []string { return []string{"sh", "-c", overwrite} },
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "", dockerLike(t))
			args := change(t, dir)
			edit(`"args":["sh","-c",""]`, `"args":["`+strings.Join(strings.Split(strings.ReplaceAll(strings.Join(args, "\x00"), `"`, `\"`), "\x00"), `","`)+`"]`)(t, dir)
			got := run(t, oci(dir))
			t.Logf("exit code %d: %s%s", got.code, got.out, got.err)
			if digest(t, staveOCI) != before {
				t.Fatal("the host's stave-oci was changed")
			}
			if strings.Contains(strings.Join(args, " ")+name, "sh -c") || name == "script" {
				return
			}
			if got.code != 1 || got.out != "" || !strings.Contains(got.err, "not where its name leads to") {
				t.Error("the host's stave-oci did something inside the container")
			}
		})
	}
}

// digest is the SHA-256 sum of a file.
func digest(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// TestDescriptors starts stave-oci with descriptors of the host's open. None may be open in the container, unless
// --preserve-fds asks for it (CVE-2024-21626).
func TestDescriptors(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, test := range map[string]struct {
		options []string
		want    string
	}{
		"none":                {nil, "0 1 2 "},
		"one kept":            {[]string{"--preserve-fds", "1"}, "0 1 2 3 "},
		"all kept":            {[]string{"--preserve-fds", "3"}, "0 1 2 3 4 5 "},
		"more than there are": {[]string{"--preserve-fds", "5"}, "0 1 2 3 4 5 "},
	} {
		t.Run(name, func(t *testing.T) {
			// A descriptor that the shell opened to list the folder is gone when it is looked at.
			const script = `for p in 1 $$; do for n in /proc/$p/fd/*; do readlink $n >/dev/null && echo -n "${n##*/} "; done; echo; done; ls -l /proc/1/fd >&2`
			c := oci(newBundle(t, script), test.options...)
			for range 3 {
				host, err := os.Open("/")
				if err != nil {
					t.Fatal(err)
				}
				defer host.Close()
				c.ExtraFiles = append(c.ExtraFiles, host)
			}
			got := run(t, c)
			lines := strings.Split(got.out, "\n")
			for i := range 2 {
				if len(lines) < 2 || lines[i] != test.want {
					t.Fatalf("open in the container: %q, want %q\n%s", lines, test.want, got.err)
				}
			}
		})
	}
}

// TestWorkingFolderIsNoDescriptor asks for a working folder that is a descriptor of the runtime's, as of the
// host's folder that the caller has open (CVE-2024-21626).
func TestWorkingFolderIsNoDescriptor(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for n := range 21 {
		for _, path := range []string{fmt.Sprintf("/proc/self/fd/%d", n), fmt.Sprintf("/proc/1/fd/%d", n)} {
			dir := newBundle(t, "pwd; ls", func(s *specs.Spec) { s.Process.Cwd = path })
			host, err := os.Open("/")
			if err != nil {
				t.Fatal(err)
			}
			c := oci(dir)
			for range 12 {
				c.ExtraFiles = append(c.ExtraFiles, host)
			}
			got := run(t, c)
			host.Close()
			if got.code == 0 || got.out != "" {
				t.Errorf("%s: exit code %d, output %q", path, got.code, got.out)
			}
			if !strings.Contains(got.err, path) {
				t.Errorf("the error does not name %s: %q", path, got.err)
			}
		}
	}
}

// TestWorkingFolderByLink asks for a working folder that a link of the image leads out with. Either that is refused, or
// the command starts inside the root.
func TestWorkingFolderByLink(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	targets := []string{"/proc/1/root", "../../../.."}
	for n := range 21 {
		targets = append(targets, fmt.Sprintf("/proc/self/fd/%d", n), fmt.Sprintf("/proc/self/fd/%d/..", n))
	}
	for _, target := range targets {
		dir := newBundle(t, "pwd; ls", func(s *specs.Spec) { s.Process.Cwd = "/data" })
		link("data", target)(t, dir)
		put(t, filepath.Join(dir, "rootfs/inside"), "", 0o644)
		got := run(t, oci(dir))
		if got.code == 0 && !strings.Contains(got.out, "inside") {
			t.Errorf("cwd -> %s: exit code %d, output %q, errors %q", target, got.code, got.out, got.err)
		}
	}
}

// TestSetUpCannotBeWatched looks at the set-up process from a container that shares its PID namespace, as a
// sidecar does. As long as it has not executed the command it is not dumpable: its memory, its descriptors
// and its program are root's of the host only (proc(5), ptrace(2)).
func TestSetUpCannotBeWatched(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	c := startReady(t, newBundle(t, "echo ready; read x", mapped, dockerLike(t)))
	pid := 0
	witness.Until(t, "stave-oci has a child", func() bool {
		for child := range childrenOf(c.Process.Pid) {
			pid = child
		}
		return pid != 0
	})
	watch := `for n in $(cut -d ' ' -f 1 /proc/loadavg | wc -l); do :; done
end=0; while test $end = 0; do for p in /proc/[0-9]*; do
	case $(cat $p/comm 2>/dev/null) in stave-oci|stave-oci*) ls -l $p/fd $p/exe 2>/dev/null && echo "saw $p"; esac
	test -e /tmp/end && end=1; done; done; echo finished`
	dir := newBundle(t, "echo ready; "+watch, mapped, dockerLike(t), joins(specs.PIDNamespace, pid), joins(specs.UserNamespace, pid))
	spy := startReady(t, dir)
	for range 20 {
		victim := newBundle(t, "true", mapped, dockerLike(t), joins(specs.PIDNamespace, pid), joins(specs.UserNamespace, pid))
		if got := run(t, oci(victim)); got.code != 0 {
			t.Fatal(got.err)
		}
	}
	put(t, filepath.Join(dir, "rootfs/tmp/end"), "", 0o644)
	spy.screen.until(t, "finished")
	if strings.Contains(spy.screen.String(), "saw") {
		t.Errorf("the set-up process was looked into:\n%s", spy.screen)
	}
	unix.Kill(pid, unix.SIGKILL)
	c.wait(t)
	spy.wait(t)
}

// joins makes a container join a namespace of a process.
func joins(kind specs.LinuxNamespaceType, pid int) change {
	return func(s *specs.Spec) {
		file := map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "pid", specs.UserNamespace: "user"}[kind]
		for i, n := range s.Linux.Namespaces {
			if n.Type == kind {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", pid, file)
			}
		}
		if kind == specs.UserNamespace {
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}
	}
}
