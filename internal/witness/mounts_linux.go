// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Mount is one line of /proc/pid/mountinfo, see proc_pid_mountinfo(5).
type Mount struct {
	ID, Parent  int      // (1), (2)
	Root, Point string   // (4), (5): the folder of the file system, and where it is to be seen
	Options     string   // (6): options of this mount, such as "rw,nosuid"
	Tags        []string // (7): "shared:7", "master:3", "unbindable"; none means private
	Type        string   // (9)
	Source      string   // (10)
	Super       string   // (11): options of the file system itself
}

// Shared says whether mounts made below this one are passed on to its peers.
func (m Mount) Shared() bool {
	for _, tag := range m.Tags {
		if strings.HasPrefix(tag, "shared:") {
			return true
		}
	}
	return false
}

// Mounts are the mounts that process pid sees, in the kernel's order. Pid 0 is the calling thread.
func Mounts(t testing.TB, pid int) []Mount {
	t.Helper()
	mounts, err := mountsOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

// mountsOf reads the mountinfo of a process, or of the calling thread when pid is 0.
func mountsOf(pid int) ([]Mount, error) {
	text, err := os.ReadFile(processFolder(pid) + "/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []Mount
	for line := range strings.Lines(string(text)) {
		if m, ok := parseMount(line); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

// processFolder is the folder of a process below /proc, or that of the calling thread when pid is 0.
// The thread's own is not /proc/self, which is the main thread and may be in another mount namespace.
func processFolder(pid int) string {
	if pid == 0 {
		return "/proc/thread-self"
	}
	return "/proc/" + strconv.Itoa(pid)
}

// parseMount reads one line of mountinfo:
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue
//	(1)(2)(3)  (4)   (5)   (6)        (7)      (7)     (8) (9) (10)      (11)
func parseMount(line string) (Mount, bool) {
	front, back, found := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
	head, tail := strings.Fields(front), strings.Split(back, " ")
	if !found || len(head) < 6 || len(tail) < 3 {
		return Mount{}, false
	}
	id, err1 := strconv.Atoi(head[0])
	parent, err2 := strconv.Atoi(head[1])
	return Mount{
		ID: id, Parent: parent,
		Root: unescape(head[3]), Point: unescape(head[4]),
		Options: head[5], Tags: head[6:],
		Type: tail[0], Source: unescape(tail[1]), Super: tail[2],
	}, err1 == nil && err2 == nil
}

// unescape turns the octal escapes back that the kernel writes for space, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
