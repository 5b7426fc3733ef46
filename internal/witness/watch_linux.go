// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable is set in the environment of the process that runs the tests, and so for all that it starts: a test
// binary that a test starts is watched by the witness that is there already.
const roleVariable = "STAVE_WITNESS"

// patience is how long late clean-up may take after the last test.
const patience = 2 * time.Second

// Runner runs the tests of a package and returns the exit code: a *testing.M.
type Runner interface{ Run() int }

// Main runs the tests of a package under a witness and ends the process; see the package's text. It is to be called
// in TestMain.
func Main(m Runner) {
	os.Exit(Watch(m).Run())
}

// Watch returns a Runner that runs m under a witness, for those who need the exit code: testscript.Main is one.
func Watch(m Runner) Runner { return watched{m} }

// watched is what Watch returns.
type watched struct{ tests Runner }

// Run is the witness in the first process, and the tests in the second.
func (w watched) Run() int {
	if listsOrFuzzes(os.Args[1:]) {
		return w.tests.Run()
	}
	switch os.Getenv(roleVariable) {
	case "": // started by a person or by go test
		code, err := watch()
		if err != nil {
			fmt.Fprintln(os.Stderr, "witness:", err)
			return 1
		}
		return code
	case fmt.Sprint(os.Getppid()): // started by the witness
		runtime.LockOSThread() // to the main thread, as a rule: no test shall change the one that /proc/self shows
		home := homeNamespaces(0)
		code := w.tests.Run()
		return judge(code, poll(func() []string { return strangeNamespaces(home) }))
	default: // started by a test
		return w.tests.Run()
	}
}

// listsOrFuzzes says whether the arguments of a test binary ask for a list of the tests or for fuzzing, whose workers
// speak to their parent over descriptors that a witness would not pass on.
func listsOrFuzzes(args []string) bool {
	for _, arg := range args {
		arg = strings.TrimLeft(arg, "-")
		if strings.HasPrefix(arg, "test.fuzz=") || strings.HasPrefix(arg, "test.fuzzworker") || strings.HasPrefix(arg, "test.list") {
			return true
		}
	}
	return false
}

// watch starts the tests, waits, and looks around. It returns the exit code that the whole run deserves.
func watch() (int, error) {
	runtime.LockOSThread() // this thread alone is in the place's namespaces, and looks around there
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	where, err := openPlace()
	if err != nil {
		return 0, err
	}
	defer where.close()
	before := where.look()
	code, err := runTests(where.temp)
	if err != nil {
		return 0, err
	}
	left := poll(func() []string {
		return append(slices.DeleteFunc(difference(before, where.look()), ofOthers), processesLeft()...)
	})
	killDescendants()
	return judge(code, left), nil
}

// judge prints what was left behind, and makes an exit code of 0 a 1 if there is any.
func judge(code int, left []string) int {
	if len(left) == 0 {
		return code
	}
	fmt.Fprintf(os.Stderr, "witness: the tests left behind:\n\t%s\n", strings.Join(left, "\n\t"))
	return max(code, 1)
}

// poll looks until nothing is left any more or patience is at its end, and returns what is left.
func poll(look func() []string) []string {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left := look(); len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// runTests starts the test binary once more, on the calling thread and so in its namespaces, hands it the signals that
// it gets, and returns its exit code, or 128 and the signal that ended it.
func runTests(temp string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	tests, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Env:   append(withoutVariable(os.Environ(), "TMPDIR"), "TMPDIR="+temp, fmt.Sprintf("%s=%d", roleVariable, os.Getpid())),
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	go func() {
		for s := range signals {
			tests.Signal(s)
		}
	}()
	defer close(signals)
	defer signal.Stop(signals)
	return reapUntil(tests.Pid)
}

// withoutVariable is an environment without a variable: of two with one name, Go programs see the first.
func withoutVariable(env []string, name string) []string {
	return slices.DeleteFunc(env, func(variable string) bool { return strings.HasPrefix(variable, name+"=") })
}

// reapUntil waits for the process pid and for every orphan that ends before it, as PID 1 would.
func reapUntil(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		dead, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for the tests: %w", err)
		case dead == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case dead == pid:
			return status.ExitStatus(), nil
		}
	}
}
