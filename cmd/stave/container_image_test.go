// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// imageState is a state folder of the test's own, with the image box: busybox, a user and what an image says of its containers.
func imageState(t *testing.T) string {
	t.Helper()
	state := filepath.Join(folder(t), "state")
	box := makeBox(t)
	got := inState(t, state, "import", "-c", `ENV COLOUR="dark blue"`, "-c", "WORKDIR /work", "-c", `CMD ["sh", "-c", "echo own; pwd"]`,
		"-c", "LABEL maker=test", "-c", "USER guest", box, "box")
	if got.code != 0 {
		t.Fatal(got.err)
	}
	return state
}

// makeBox makes an archive of a root file system with busybox.
func makeBox(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	root := filepath.Join(dir, "root")
	makeRoot(t, root)
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1001::/home/guest:/bin/sh\n", "etc/group": "root:x:0:\nguest:x:1001:\nextra:x:77:guest\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	box := filepath.Join(dir, "box.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", box, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return box
}

// inState runs stave with a state folder.
func inState(t *testing.T, state string, args ...string) result {
	t.Helper()
	return run(t, staveIn(state, args...))
}

// staveIn is stave with a state folder.
func staveIn(state string, args ...string) *exec.Cmd {
	c := exec.Command(stave, args...)
	c.Env = append(os.Environ(), "STAVE_STATE="+state)
	return c
}

// foldersIn lists the containers of a state folder.
func foldersIn(t *testing.T, state string) []string {
	t.Helper()
	var names []string
	for _, dir := range []string{"containers", "run"} {
		entries, err := os.ReadDir(filepath.Join(state, dir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names
}

// TestRunImage looks at containers of an image from inside: what the image says, and what the command line changes about it.
func TestRunImage(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	state := imageState(t)
	for name, it := range map[string]struct {
		args []string
		want string
		code int
	}{
		"the image's own": {[]string{"box"}, "own\n/work\n", 0},
		"a command":       {[]string{"box", "sh", "-c", "echo $COLOUR $HOME; id; exit 9"}, "dark blue /home/guest\nuid=1000(guest) gid=1001(guest) groups=77(extra),1001(guest)\n", 9},
		"options":         {[]string{"-e", "COLOUR=red", "-u", "0", "-w", "/tmp", "--hostname", "host", "box", "sh", "-c", "echo $COLOUR; id -u; pwd; hostname"}, "red\n0\n/tmp\nhost\n", 0},
		"an entrypoint":   {[]string{"--entrypoint", "sh", "box", "-c", "echo said"}, "said\n", 0},
		"no entrypoint":   {[]string{"--entrypoint", "", "box", "sh", "-c", "echo said"}, "said\n", 0},
		"its root":        {[]string{"box", "sh", "-c", "grep -c ' / / .* - overlay overlay ' /proc/self/mountinfo"}, "1\n", 0},
		"vfs":             {[]string{"box", "sh", "-c", "grep -c overlay /proc/self/mountinfo; cat /etc/group | wc -l"}, "0\n3\n", 0},
		"read-only":       {[]string{"-u", "0", "--read-only", "box", "sh", "-c", "touch /x 2>/dev/null || echo refused"}, "refused\n", 0},
		"written":         {[]string{"-u", "0", "box", "sh", "-c", "echo new >/etc/group; rm /etc/passwd; ls /etc; cat /etc/group"}, "group\nnew\n", 0},
		"not in it":       {[]string{"box", "missing"}, "", 127},
	} {
		t.Run(name, func(t *testing.T) {
			before := []string{"run", "--rm", "--pull", "never"}
			if name == "vfs" {
				before = append([]string{"--storage-driver", "vfs"}, before...)
			}
			if got := inState(t, state, append(before, it.args...)...); got.out != it.want || got.code != it.code {
				t.Errorf("it shows %q and ends with %d, want %q and %d; it says %q", got.out, got.code, it.want, it.code, got.err)
			}
			if left := foldersIn(t, state); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
	hosts := witness.Mounts(t, os.Getpid())
	if slices.ContainsFunc(hosts, func(m witness.Mount) bool { return strings.HasPrefix(m.Point, state) }) {
		t.Errorf("the host has mounts of containers: %v", hosts)
	}
}

// TestKeptContainer keeps a container that has ended, looks at it, and removes it. Its image can't go before it does.
func TestKeptContainer(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	state := imageState(t)
	file := filepath.Join(folder(t), "id")
	if got := inState(t, state, "run", "--name", "one", "--cidfile", file, "-u", "0", "-l", "a=b", "box", "sh", "-c", "echo kept >/file; exit 4"); got.code != 4 {
		t.Fatalf("exit code %d, %s", got.code, got.err)
	}
	id, err := os.ReadFile(file)
	if err != nil || len(id) != 64 {
		t.Fatalf("the id is %q, %v", id, err)
	}
	if data, err := os.ReadFile(filepath.Join(state, "containers", string(id), "diff/file")); err != nil || string(data) != "kept\n" {
		t.Errorf("what it wrote: %q, %v", data, err)
	}
	for _, it := range []struct {
		args []string
		want string // in what it prints or says
		code int
	}{
		{[]string{"ps"}, "CONTAINER ID", 0},
		{[]string{"ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}} {{.Labels}}"}, string(id) + " one box exited a=b,maker=test\n", 0},
		{[]string{"ps", "-a", "--format", "{{.Status}}"}, "Exited (4)", 0},
		{[]string{"ps", "-q"}, "", 0},
		{[]string{"run", "--name", "one", "box"}, "stave rm one", 125},
		{[]string{"run", "--cidfile", file, "box"}, "is there already", 125},
		{[]string{"rmi", "box"}, string(id[:12]), 1},
		{[]string{"rm", "missing"}, "no such container: missing", 1},
		{[]string{"rm", "-f", "missing"}, "no such container: missing", 0},
		{[]string{"rm", string(id[:5])}, string(id[:5]) + "\n", 0},
		{[]string{"rm", "one"}, "no such container: one", 1},
		{[]string{"rmi", "box"}, "Deleted:", 0},
	} {
		got := inState(t, state, it.args...)
		if !strings.Contains(got.out+got.err, it.want) || got.code != it.code || it.want == "" && got.out+got.err != "" {
			t.Errorf("stave %q: exit code %d, %q, %q; want %d and %q", it.args, got.code, got.out, got.err, it.code, it.want)
		}
	}
	if left := foldersIn(t, state); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	blobs, err := filepath.Glob(filepath.Join(state, "images/blobs/sha256/*"))
	layers, err2 := filepath.Glob(filepath.Join(state, "layers/*/fs"))
	if err != nil || err2 != nil || len(blobs)+len(layers) > 0 {
		t.Errorf("blobs %q and layers %q are left of an image that was removed", blobs, layers)
	}
}

// TestKilledStaveOfAnImage kills the stave of a container of an image. The container runs on, is listed, and can't be removed without
// force; with force its processes, its cgroup and its folders go. One that ended by itself in the meantime is found, too.
func TestKilledStaveOfAnImage(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	state := imageState(t)
	for _, rm := range []bool{false, true} {
		args := []string{"run", "--name", "orphan", "box", "sleep", "1000"}
		if rm {
			args = slices.Insert(args, 1, "--rm")
		}
		c := staveIn(state, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var child int
		witness.Until(t, "the command runs", func() bool {
			child = childOf(t, c.Process.Pid)
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
			return err == nil && string(name) == "sleep\n"
		})
		c.Process.Kill()
		wait(t, c)
		if got := inState(t, state, "ps", "--format", "{{.Names}} {{.State}}"); got.out != "orphan running\n" {
			t.Errorf("ps: %q, %s", got.out, got.err)
		}
		if got := inState(t, state, "rm", "orphan"); got.code != 1 || !strings.Contains(got.err, "stave rm -f orphan") {
			t.Errorf("rm: exit code %d, %s", got.code, got.err)
		}
		if rm { // it ends without anybody who attends
			if err := unix.Kill(child, unix.SIGKILL); err != nil {
				t.Error(err)
			}
			witness.Until(t, "the container has ended", func() bool { return unix.Kill(child, 0) != nil })
			if got := inState(t, state, "ps", "-a", "-q"); got.out+got.err != "" {
				t.Errorf("ps after the end: %q, %s", got.out, got.err)
			}
		} else if got := inState(t, state, "rm", "-f", "orphan"); got.code != 0 || unix.Kill(child, 0) == nil {
			t.Errorf("rm -f: exit code %d, %s; the process lives: %v", got.code, got.err, unix.Kill(child, 0) == nil)
		}
		if left := foldersIn(t, state); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

// TestExplainImage makes a container by the script that explain writes for it, with the image's layers joined by mount(8).
func TestExplainImage(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:bash", "command:unshare", "filesystem:overlay")
	plain := imageState(t)
	for _, name := range []string{"one", "one, two"} { // a mount can't name a folder with a comma: it takes links
		state := filepath.Join(filepath.Dir(plain), name)
		if err := os.Rename(plain, state); err != nil {
			t.Fatal(err)
		}
		plain = state
		t.Run(name, func(t *testing.T) { explainImage(t, state) })
	}
	if got := inState(t, plain, "--storage-driver", "vfs", "explain", "--shell", "box"); got.code == 0 || !strings.Contains(got.err, "--storage-driver overlay") {
		t.Errorf("with vfs: exit code %d, %s", got.code, got.err)
	}
}

// explainImage is TestExplainImage for a state folder.
func explainImage(t *testing.T, state string) {
	t.Helper()
	got := inState(t, state, "explain", "box")
	if got.code != 0 || strings.Count(got.out, "mount an overlay of 1 layers") != 1 {
		t.Errorf("the calls: %d, %s\n%s", got.code, got.err, got.out)
	}
	script := inState(t, state, "explain", "--shell", "-u", "0", "box", "sh", "-c", "cat /etc/passwd; echo $COLOUR; touch /new; grep -c ' / / .* overlay ' /proc/self/mountinfo; exit 5")
	if left := foldersIn(t, state); len(left) > 0 || script.code != 0 {
		t.Fatalf("left: %q; %s", left, script.err)
	}
	c := exec.Command("bash", "-s")
	c.Dir, c.Env = folder(t), append(os.Environ(), "TMPDIR="+folder(t))
	c.Stdin = strings.NewReader(script.out)
	made := run(t, c)
	if made.code != 5 || !strings.HasSuffix(made.out, ":/bin/sh\ndark blue\n1\n") {
		t.Errorf("the script's container ends with %d and shows %q; it says %q", made.code, made.out, made.err)
	}
	if entries, err := os.ReadDir(strings.TrimPrefix(c.Env[len(c.Env)-1], "TMPDIR=")); err != nil || len(entries) > 0 {
		t.Errorf("the script leaves %v, %v", entries, err)
	}
}

// TestOrdinaryUserRunsImages unpacks, runs, commits and removes as a user who is not root, with a range of ids. The machine's files that give
// it are replaced in a mount namespace of the test's own.
func TestOrdinaryUserRunsImages(t *testing.T) {
	witness.Need(t, "root", "userns", "command:busybox", "command:newuidmap", "command:unshare", "command:setpriv", "filesystem:overlay")
	dir := folder(t)
	const script = `set -e
echo nobody:200000:65536 >"$1/ids"
mount --bind "$1/ids" /etc/subuid
mount --bind "$1/ids" /etc/subgid
mkdir "$1/state"
chown nobody "$1/state"
cd /
s() { env STAVE_STATE="$state" setpriv --reuid 65534 --regid 65534 --clear-groups "$program" "$@"; }
state=$1/state program=$2
s import "$3" box >/dev/null
s run --name one box sh -c 'id -u; echo x >/file; chown 1000:1001 /file; rm /etc/group; exit 3' || echo "code $?"
s commit one changed >/dev/null
s run --rm --user-ns changed sh -c 'stat -c "%u %g" /file; ls /etc; head -1 /proc/self/uid_map'
s rm one
s rmi changed box | grep -c Deleted:
ls "$state/containers" "$state/run" | grep -v :
`
	got := run(t, exec.Command("unshare", "--mount", "sh", "-c", script, "sh", dir, stave, makeBox(t)))
	lines := strings.Fields(got.out)
	want := strings.Fields("0 code 3 1000 1001 passwd 0 65534 1 one")
	if len(lines) < len(want) || !slices.Equal(lines[:len(want)], want) {
		t.Errorf("it shows %q, want %q…; it says %s", lines, want, got.err)
	}
	if len(lines) > len(want)+1 {
		t.Errorf("left: %q", lines[len(want)+1:])
	}
}

// TestDriversOfContainers takes a container through its life with each driver: what it wrote is exported and committed while it runs and
// after it, and when it has ended the host has no mount of it.
func TestDriversOfContainers(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	state := imageState(t)
	for _, driver := range []string{"overlay", "vfs", "fuse-overlayfs"} {
		t.Run(driver, func(t *testing.T) {
			if driver == "fuse-overlayfs" {
				witness.Need(t, "command:fuse-overlayfs", "filesystem:fuse")
			}
			name := "box-" + driver
			c := staveIn(state, "--storage-driver", driver, "run", "--name", name, "-u", "0", "box", "sh", "-c", "echo new >/etc/new; rm /etc/group; echo ready; read -r line; exit 6")
			p := sitDown(t, c)
			p.until("ready")
			check := func(image string) {
				t.Helper()
				if got := inState(t, state, "export", name); !strings.Contains(got.out, "new\n") || strings.Contains(got.out, "extra:x:77") {
					t.Errorf("the export holds the new file: %v, the removed one: %v; %s", strings.Contains(got.out, "new\n"), strings.Contains(got.out, "extra:x:77"), got.err)
				}
				if got := inState(t, state, "commit", name, image); got.code != 0 {
					t.Error(got.err)
				}
				if got := inState(t, state, "run", "--rm", image, "sh", "-c", "ls /etc"); got.out != "new\npasswd\n" {
					t.Errorf("a container of the commit has in /etc %q; %s", got.out, got.err)
				}
			}
			check("while-" + driver)
			p.types("go on\r")
			if code := p.leave(); code != 6 {
				t.Errorf("exit code %d", code)
			}
			check("after-" + driver)
			for _, m := range witness.Mounts(t, os.Getpid()) {
				if strings.HasPrefix(m.Point, state) {
					t.Errorf("the host has a mount of a container that has ended: %v", m)
				}
			}
			if got := inState(t, state, "rm", name); got.code != 0 || len(foldersIn(t, state)) > 0 {
				t.Errorf("rm: %s; left: %q", got.err, foldersIn(t, state))
			}
		})
	}
}
