// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// views are the ways to look at a group that was made in every hierarchy of this machine: all of it, and only its part
// of one version, as if the other were not mounted.
func views(g Group) map[string]Group {
	all := map[string]Group{"all": g}
	for _, f := range g.Folders {
		name := fmt.Sprintf("v%d", f.Version)
		part := all[name]
		part.Folders = append(part.Folders, f)
		all[name] = part
	}
	return all
}

// nest makes a group below one, in every hierarchy.
func nest(t *testing.T, g Group, name string) Group {
	t.Helper()
	var nested Group
	for _, f := range g.Folders {
		f.Path += "/" + name
		if err := os.Mkdir(f.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		if f.Version == 1 && slices.Contains(f.Controllers, "cpuset") {
			for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
				write(t, f.File(name), read(t, f.Top+"/"+name))
			}
		}
		nested.Folders = append(nested.Folders, f)
	}
	return nested
}

// start runs a shell script in a group, and returns the number of its process. The script does not begin before it is
// in the group. It is killed and reaped when the test is over, and thawed for it.
func start(t *testing.T, g Group, script string) *exec.Cmd {
	t.Helper()
	command := exec.Command("sh", "-c", "read go; "+script)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		if f, ok := g.Folder("freezer"); ok {
			f.thaw() // of a group that is gone there is nothing to thaw
		}
		command.Wait()
	})
	put(t, g, command.Process.Pid)
	if _, err := stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	return command
}

// busy is a script that does nothing but use the processor.
const busy = "while :; do :; done"

// ticks is the processor time that a process has used, in ticks of 10 ms (proc_pid_stat(5), fields 14 and 15), and its
// state (field 3).
func ticks(t *testing.T, pid int) (uint64, string) {
	t.Helper()
	_, after, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/stat", pid)), ") ")
	words := strings.Fields(after)
	user, err1 := strconv.ParseUint(words[11], 10, 64)
	system, err2 := strconv.ParseUint(words[12], 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("/proc/%d/stat: %q", pid, after)
	}
	return user + system, words[0]
}

// works waits until a process has used the processor for a twentieth of a second more.
func works(t *testing.T, pid int) {
	t.Helper()
	before, _ := ticks(t, pid)
	witness.Until(t, fmt.Sprintf("process %d makes progress", pid), func() bool {
		now, _ := ticks(t, pid)
		return now >= before+5
	})
}

// members lists the processes whose /proc/pid/cgroup has a group or one below it in any hierarchy: the other end of
// cgroup.procs. Zombies are no longer anywhere.
func members(t *testing.T, g Group) []int {
	t.Helper()
	name := filepath.Base(g.Folders[0].Path)
	var pids []int
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		status, _ := os.ReadFile(filepath.Dir(file) + "/status")
		if err == nil && strings.Contains(string(text), name) && !strings.Contains(string(status), "State:\tZ") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// blockedFile mounts a file system of which no file ever answers: who asks for one waits in the kernel, in state D after a
// signal, and cannot be frozen. It returns the path of a file there, a function that tells whether somebody waits, and one
// that makes all who wait give up.
func blockedFile(t *testing.T) (name string, asked func() bool, release func()) {
	t.Helper()
	witness.Need(t, "root", "filesystem:fuse")
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	mountFuse(t, folder, device)
	release = sync.OnceFunc(func() { unix.Close(device) }) // the kernel answers every request with ECONNABORTED then
	t.Cleanup(release)
	request := make([]byte, 1<<17)
	if _, err := unix.Read(device, request); err != nil { // FUSE_INIT: struct fuse_in_header has a number at 8 (linux/fuse.h)
		t.Fatal(err)
	}
	answer := make([]byte, 16+64) // struct fuse_out_header, struct fuse_init_out
	answer[0] = byte(len(answer))
	copy(answer[8:16], request[8:16])
	copy(answer[16:24], request[40:48])       // the version that the kernel speaks
	answer[16+20], answer[16+21] = 0x00, 0x10 // max_write is 4096
	if _, err := unix.Write(device, answer); err != nil {
		t.Fatal(err)
	}
	asked = func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(device), Events: unix.POLLIN}}, 0)
		return n == 1 && err == nil
	}
	return folder + "/file", asked, release
}

// mountFuse mounts a FUSE file system that the holder of a descriptor of /dev/fuse is to serve.
func mountFuse(t *testing.T, folder string, device int) {
	t.Helper()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device)
	if err := unix.Mount("stave-test", folder, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// exists tells whether a path is there.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// openFiles counts the descriptors of this process, among them always those that Go's poller opens for the first pipe.
func openFiles(t *testing.T) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	entries, err := fs.Glob(os.DirFS("/proc/self/fd"), "*")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
