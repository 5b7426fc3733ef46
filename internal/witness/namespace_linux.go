// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is the inode number of a namespace of process pid: two processes are in the same one exactly when the
// numbers are the same. The kind is a file name below /proc/pid/ns, such as "mnt" or "pid_for_children"; pid 0 is
// the calling thread. See namespaces(7).
func Namespace(t testing.TB, pid int, kind string) uint64 {
	t.Helper()
	var stat unix.Stat_t
	path := filepath.Join(processFolder(pid), "ns", kind)
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	return stat.Ino
}

// SharedRoot runs a test in a new mount namespace in which every mount is shared, as systemd makes them, and passes
// nothing on to the machine. A test of clone or unshare that forgets to make its mounts private is found only so.
//
// The test runs on a thread of its own that ends with it, so whatever it mounts is gone afterwards; programs that it
// starts are in the namespace too. Inside, read /proc/thread-self (or call [Mounts] with pid 0), not /proc/self,
// and start no goroutine that has to be in the namespace. It needs root.
func SharedRoot(t *testing.T, test func()) {
	t.Helper()
	Need(t, "root")
	done := make(chan struct{})
	go onOwnThread(done, func() {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Fatalf("unshare the mount namespace: %v", err)
		}
		if err := shareMounts(); err != nil {
			t.Fatal(err)
		}
		test()
	})
	<-done
	if t.Failed() {
		t.FailNow()
	}
	if t.Skipped() {
		t.SkipNow()
	}
}

// onOwnThread runs f on a thread that ends with the goroutine, and closes done then. It never takes the main thread:
// that one can't end, and is what /proc/self shows. If it gets it, it holds it while another goroutine does the work.
func onOwnThread(done chan struct{}, f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		go onOwnThread(done, f)
		<-done
		runtime.UnlockOSThread()
		return
	}
	defer close(done) // also after t.FailNow and t.SkipNow, which end the goroutine
	f()
}

// strangeNamespaces lists what a test binary still holds of namespaces that are not its own: threads that stayed in
// one, and open descriptors. The main thread is left out, since it can't end: when a goroutine that changed it ends,
// the Go runtime parks it for good.
func strangeNamespaces(home map[string]bool) []string {
	var left []string
	main := filepath.Base(target("/proc/self"))
	tasks, _ := filepath.Glob("/proc/self/task/*/ns/*")
	for _, path := range tasks {
		thread := strings.Split(path, "/")[4]
		if ns := target(path); ns != "" && !home[ns] && thread != main {
			left = append(left, "thread "+thread+" of the test binary in namespace "+ns)
		}
	}
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, path := range files {
		if ns := target(path); isNamespace(ns) && !home[ns] {
			left = append(left, "open descriptor "+filepath.Base(path)+" of namespace "+ns)
		}
	}
	return left
}

// homeNamespaces are the names, such as "mnt:[4026531841]", of the namespaces of a process or the calling thread.
func homeNamespaces(pid int) map[string]bool {
	home := map[string]bool{}
	links, _ := filepath.Glob(processFolder(pid) + "/ns/*")
	for _, path := range links {
		home[target(path)] = true
	}
	return home
}

// isNamespace says whether the target of a link below /proc names a namespace: "net:[4026531840]".
func isNamespace(target string) bool {
	switch kind, _, _ := strings.Cut(target, ":["); kind {
	case "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts":
		return true
	}
	return false
}

// target is the target of a link, or nothing if it is gone: threads and descriptors come and go.
func target(path string) string {
	to, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return to
}
