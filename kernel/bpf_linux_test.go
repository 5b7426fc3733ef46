// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestLoadBPF loads the shortest program (r0 = 1; exit), and one that leaves out the answer, which the verifier refuses.
func TestLoadBPF(t *testing.T) {
	witness.Need(t, "root")
	exit := []byte{0x95, 0, 0, 0, 0, 0, 0, 0}
	yes := append([]byte{0xb7, 0, 0, 0, 1, 0, 0, 0}, exit...)
	fd, err := LoadBPF(unix.BPF_PROG_TYPE_CGROUP_DEVICE, "stave_test", yes)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if name, err := nameOf(fd); name != "stave_test" || err != nil {
		t.Errorf("the kernel calls it %q, %v", name, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags != unix.FD_CLOEXEC || err != nil {
		t.Errorf("the descriptor has the flags %#x, %v; want close-on-exec", flags, err)
	}
	_, err = LoadBPF(unix.BPF_PROG_TYPE_CGROUP_DEVICE, "stave_test", exit)
	if !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "the verifier says: ") || !strings.Contains(err.Error(), "R0 !read_ok") {
		t.Errorf("%v, want EACCES with the verifier's R0 !read_ok", err)
	}
	if err := AttachBPF(int(os.Stdin.Fd()), fd, unix.BPF_CGROUP_DEVICE); err == nil {
		t.Error("a program is attached to what is no cgroup")
	}
}
