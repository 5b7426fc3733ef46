// SPDX-License-Identifier: Apache-2.0

package security

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// TestShebangReachesTheProgram shows why non-dumpable is not enough: a script in the container whose interpreter is
// /proc/self/exe makes execve start the program that set the container up, and that process can be looked into.
func TestShebangReachesTheProgram(t *testing.T) {
	script := t.TempDir() + "/entry"
	if err := os.WriteFile(script, []byte("#!/proc/self/exe\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{sayVariable + "=1"}
	calls := []kernel.Call{{Request: NonDumpable{}}, {Request: kernel.Exec{Args: []string{script}, Env: env}}}
	text, _ := runProgram(t, kernel.Program{Host: []kernel.Call{{Request: kernel.Clone{}}}, Container: calls})
	if want := "sealed false, displaced false, open for writing:"; !strings.HasPrefix(text, want) {
		t.Errorf("the program says %q, want %q", text, want)
	}
}

// TestSealedCopyCantBeWritten executes the copy and lets it try to open itself for writing.
func TestSealedCopyCantBeWritten(t *testing.T) {
	memory, err := SealedCopy()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	command := exec.Command(fmt.Sprintf("/proc/self/fd/%d", memory.Fd()))
	command.Env = []string{sayVariable + "=1"}
	text, err := command.Output() // on stderr a test that counts coverage may warn
	if want := "sealed true, displaced false, open for writing: text file busy\n"; string(text) != want {
		t.Errorf("the copy says %q (%v), want %q", text, err, want)
	}
	// Once nobody executes it, the host's file could be opened for writing; this one never can be written.
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", memory.Fd()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Write([]byte("x")); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing says %v, want EPERM", err)
	}
	if Sealed() {
		t.Error("the test itself is said to be a copy")
	}
}

// TestLockedCopyCantBeWritten executes the program on its own mount, and asks the kernel whether it could be written there
// if nobody executed it: that is the first thing that open(2) finds.
func TestLockedCopyCantBeWritten(t *testing.T) {
	witness.Need(t, "root")
	program, err := LockedCopy()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	command := exec.Command(path)
	command.Env = []string{sayVariable + "=1"}
	text, err := command.Output()
	if want := "sealed true, displaced false, open for writing: text file busy\n"; string(text) != want {
		t.Errorf("the copy says %q (%v), want %q", text, err, want)
	}
	if err := unix.Access(path, unix.W_OK); err != unix.EROFS {
		t.Errorf("access for writing says %v, want EROFS", err)
	}
	if err := unix.Access("/proc/self/exe", unix.W_OK); err != nil || Locked() {
		t.Errorf("the test itself is said to be locked: %v, access for writing says %v", Locked(), err)
	}
}

// sayVariable makes this program say whether it is sealed, instead of running tests.
const sayVariable = "STAVE_SAY_SEALED"

// saySealed is what the tests above execute: it tries to open its own file for writing.
func saySealed() {
	f, err := os.OpenFile("/proc/self/exe", os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
	fmt.Printf("sealed %v, displaced %v, open for writing: %v\n", Sealed() || Locked(), Displaced(), errors.Unwrap(err))
}

func BenchmarkSealedCopy(b *testing.B) {
	for b.Loop() {
		memory, err := SealedCopy()
		if err != nil {
			b.Fatal(err)
		}
		memory.Close()
	}
}
