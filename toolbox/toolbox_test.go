// SPDX-License-Identifier: Apache-2.0

package toolbox_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
	"stave/toolbox"
	"stave/toolbox/tool"
)

// TestMain makes the test binary the program itself when it is called by a tool's name.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if _, ok := toolbox.Find(name); ok || name == toolbox.Binary {
		os.Exit(toolbox.Main(os.Args))
	}
	os.Exit(m.Run())
}

// TestScripts runs the plays in testdata/script, each in a folder of its own and with nothing but our tools in PATH.
func TestScripts(t *testing.T) {
	bin := filepath.Join(plant(t), "bin")
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(env *testscript.Env) error {
		env.Setenv("PATH", bin)
		return nil
	}})
}

// TestTableIsComplete looks at what the table says of every tool.
func TestTableIsComplete(t *testing.T) {
	last := ""
	for _, tl := range toolbox.Tools() {
		if tl.Name <= last {
			t.Errorf("%s comes after %s", tl.Name, last)
		}
		last = tl.Name
		if tl.Help == "" || tl.Run == nil || strings.HasSuffix(tl.Help, ".") {
			t.Errorf("%s: help %q", tl.Name, tl.Help)
		}
	}
}

// TestRunUnknown asks for a tool that isn't there.
func TestRunUnknown(t *testing.T) {
	var out, errs bytes.Buffer
	code := toolbox.Run(tool.IO{Out: &out, Err: &errs}, []string{"/x/stave-lab", "frobnicate"})
	if code != 127 || !strings.Contains(errs.String(), "frobnicate: no such tool") {
		t.Errorf("code %d, said %q", code, errs.String())
	}
}

// plant makes a root tree whose program is this test binary.
func plant(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := toolbox.Plant(dir, self); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPlant looks at the tree: every link leads to the program, which is a copy with an inode of its own.
func TestPlant(t *testing.T) {
	dir := plant(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bin", toolbox.Binary)
	a, err := os.Stat(self)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(a, b) || a.Size() != b.Size() || b.Mode() != 0o755 {
		t.Errorf("the program is no copy: %v, %v", a, b)
	}
	for _, name := range toolbox.Names() {
		for _, folder := range []string{"bin", "sbin", "usr/bin", "usr/sbin"} {
			info, err := os.Stat(filepath.Join(dir, folder, name))
			if err != nil || !os.SameFile(info, b) {
				t.Errorf("%s/%s does not lead to the program: %v", folder, name, err)
			}
		}
	}
	for name, mode := range map[string]os.FileMode{
		"tmp": os.ModeDir | os.ModeSticky | 0o777, "root": os.ModeDir | 0o700, "proc": os.ModeDir | 0o555, "etc/passwd": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "home/learner")); err != nil {
		t.Error(err)
	} else if uid := info.Sys().(*syscall.Stat_t).Uid; os.Geteuid() == 0 && uid != 1000 {
		t.Errorf("the home of learner belongs to %d", uid)
	}
	if err := toolbox.Plant(dir, self); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("planting into a full folder: %v", err)
	}
}

// inside runs a script by /bin/sh as PID 1 of a small container in the planted tree, and gives its output and exit code.
func inside(t *testing.T, script string) (string, int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes namespaces and calls chroot")
	}
	if self, err := elf.Open("/proc/self/exe"); err != nil || self.Section(".interp") != nil {
		t.Skip("needs a static test binary, because nothing else is in the root: CGO_ENABLED=0")
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     plant(t),
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		// Unshared, not cloned: then the syscall package makes the mounts private first.
		Unshareflags: unix.CLONE_NEWNS,
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestInside plays in a container, where the tools need root.
func TestInside(t *testing.T) {
	for name, c := range map[string]struct {
		script, want string
		code         int
	}{
		"PID 1":              {"echo $$; exit 3", "1\n", 3},
		"exec keeps the PID": {"exec sh -c 'echo $$'", "1\n", 0},
		"PID 1 outlives TERM, as the kernel has it": {"kill -TERM 1; sleep 0.1; echo alive", "alive\n", 0},
		"a tool as PID 1, too":                      {"mount -t proc proc /proc; exec ps -o pid=,comm=", "1 ps\n", 0},
		"PID 1 reaps orphans": {"mount -t proc proc /proc; sh -c 'sleep 0.1 & exit 0'; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; " +
			"ps -o stat=,comm= | grep sleep; (exit 4); echo $?", "4\n", 0},
		"no /proc, and a child shell": {"f() { echo in $1; }; f 7 & wait $!; echo $?", "in 7\n0\n", 0},
		"hostname":                    {"hostname inner; hostname; uname -n", "inner\ninner\n", 0},
		"mount": {
			"mount -t proc proc /proc && mount -t tmpfs -o size=1m tmpfs /mnt && mount -o bind,ro /etc /srv && mount | grep -c -E '/mnt|/srv' && " +
				"touch /srv/x; echo $?; umount /mnt /srv; mount | grep -c /mnt",
			"2\ntouch: /srv/x: read-only file system\n1\n0\n", 1,
		},
		"a full disk is noticed": {
			"mount -t tmpfs -o size=64k tmpfs /mnt; hog mem 1M >/dev/null; dd if=/bin/sh of=/mnt/x bs=4k status=none; echo $?; cat /bin/sh > /mnt/y; echo $?",
			"dd: /mnt/x: no space left on device\n1\ncat: write error: no space left on device\n1\n", 0,
		},
		"ip": {
			"ip link set lo up; ip link add br0 type bridge; ip link add a type veth peer name b; ip link set a master br0; ip link set a up; " +
				"ip link set br0 up; ip addr add 10.9.0.1/24 dev br0; ip -4 -br addr; ip route add 10.8.0.0/16 via 10.9.0.2; ip route; " +
				"ip route del 10.8.0.0/16; ip link del a; ip -br link | wc -l; ip link show nope",
			"lo               UNKNOWN        127.0.0.1/8\nbr0              DOWN           10.9.0.1/24\nb                DOWN\na                LOWERLAYERDOWN\n" +
				"10.8.0.0/16 via 10.9.0.2 dev br0\n10.9.0.0/24 dev br0 proto kernel scope link src 10.9.0.1\n2\nip: nope: no such link\n", 1,
		},
		"ping, httpd, wget": {
			"ip link set lo up; ping -q -c 1 127.0.0.1 | grep -o '1 packets received'; ping -q -c 1 ::1 | grep -o '1 packets received'; " +
				"httpd -p 80 -h /etc & p=$!; n=0; until nc -z 127.0.0.1 80 2>/tmp/e || test $n = 50; do n=$((n+1)); sleep 0.05; done; " +
				"wget -q -O - http://127.0.0.1/hostname; wget -q http://127.0.0.1/nope; echo $?; kill $p; wait $p; echo $?",
			"1 packets received\n1 packets received\nlab\nwget: server returned error: HTTP/1.1 404 Not Found\n1\n143\n", 0,
		},
		"nc loses no line": {
			"ip link set lo up; mount -t proc proc /proc; : >/tmp/e; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do nc -l -p 11 </tmp/e >/tmp/o & " +
				"until grep -q ' 0A ' /proc/net/tcp6 /proc/net/tcp; do sleep 0.01; done; echo hi$i | timeout 9 nc 127.0.0.1 11 >/tmp/p; wait; cat /tmp/o; done | wc -l",
			"20\n", 0,
		},
		"no network, no name server": {
			"wget http://example.com; ping -c 1 example.com", "wget: example.com: no name server (is there a network? see ip addr)\n" +
				"ping: example.com: no name server (is there a network? see ip addr)\n", 1,
		},
		"refused namespaces": {"mkdir /x; cp /bin/stave-lab /x/id; chroot / unshare -r id -u; ls -ldn /home/learner | cut -d' ' -f3,4", "unshare: the kernel refuses new namespaces: operation not permitted\n1000 1000\n", 0},
		"nodes and tar": {
			"mkdir /a; mknod /a/null c 1 3; ln -s null /a/l; ln /a/null /a/h; chmod u+s /a; tar cf /t.tar -C / a; mkdir /o; tar xf /t.tar -C /o; " +
				"stat -c '%n %F %a' /o/a /o/a/null /o/a/l; cp -a /a /c; stat -c '%F %t %T' /c/null",
			"/o/a directory 4755\n/o/a/null character special file 644\n/o/a/l symbolic link 777\ncharacter special file 1 3\n", 0,
		},
		"unshare and nsenter": {
			"mount -t proc proc /proc; hostname outer; unshare -u sh -c 'hostname inner; exec sleep 20' & " +
				"n=0; until ps -o pid,comm | grep -q sleep || test $n = 50; do n=$((n+1)); sleep 0.05; done; p=$(ps -o comm=,pid= | grep ^sleep | tr -s ' ' | cut -d' ' -f2); " +
				"nsenter -t $p -u hostname; hostname; kill $p; wait",
			"inner\nouter\n", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := inside(t, c.script)
			if out != c.want || code != c.code {
				t.Errorf("got %q, code %d; want %q, code %d", out, code, c.want, c.code)
			}
		})
	}
}
