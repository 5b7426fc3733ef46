// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadFile reads files around the size of its buffer, and one that is not there.
func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if _, err := ReadFile(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		want := bytes.Repeat([]byte("stave"), size/5+1)[:size]
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

// TestStore writes a value over another one, and makes no file.
func TestStore(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := Store(name, "value"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if err := os.WriteFile(name, []byte("abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Store(name, "xyz"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "xyzdef" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	err := Store("/proc/self/oom_score_adj", "many")
	if want := "write /proc/self/oom_score_adj: invalid argument"; err == nil || err.Error() != want || !errors.Is(err, unix.EINVAL) {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

// TestOpen checks that a command that is executed does not get the file, and that its path and its error are those of
// package os.
func TestOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	_, err := Open(name, unix.O_RDONLY, 0)
	if _, want := os.Open(name); err == nil || err.Error() != want.Error() {
		t.Errorf("the error is %v, want %v", err, want)
	}
	f, err := Open(name, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode() != 0o600 || f.Name() != name {
		t.Errorf("%v %v %s", info.Mode(), err, f.Name())
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the flags of the descriptor are %#x, %v", flags, err)
	}
}
