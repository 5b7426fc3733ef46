// SPDX-License-Identifier: Apache-2.0

package toolbox_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// session is a shell at a pseudo-terminal.
type session struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	mu     sync.Mutex
	said   bytes.Buffer
}

// startSession opens a pseudo-terminal (pty(7)) and starts sh at its other end.
func startSession(t *testing.T) *session {
	t.Helper()
	return startSessionIn(t, 0)
}

// startSessionIn is startSession in new namespaces.
func startSessionIn(t *testing.T, namespaces uintptr) *session {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	number := 0
	control(t, master, func(fd int) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	defer slave.Close()
	dir := plant(t)
	s := &session{t: t, master: master, cmd: exec.Command(dir + "/bin/sh")}
	s.cmd.Dir = dir
	s.cmd.Env = []string{"PATH=" + dir + "/bin", "TERM=vt100", "HOME=" + dir}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0, Cloneflags: namespaces}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended if the test went well
		master.Close()
	})
	go s.listen()
	return s
}

// control calls fn with the number of a file. Fd would make reading block, and Close then wait for the reader.
func control(t *testing.T, f *os.File, fn func(fd int)) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { fn(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// listen collects what the shell prints until the terminal is closed.
func (s *session) listen() {
	b := make([]byte, 1024)
	for {
		n, err := s.master.Read(b)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.said.Write(b[:n])
		s.mu.Unlock()
	}
}

// poll waits until fn is true.
func (s *session) poll(what string, fn func() bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); !fn(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("waited in vain for %s; the terminal shows:\n%s", what, s.said.String())
		}
	}
}

// expect waits for a text, and forgets everything up to its end.
func (s *session) expect(text string) {
	s.t.Helper()
	s.poll(fmt.Sprintf("%q", text), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		at := strings.Index(s.said.String(), text)
		if at >= 0 {
			s.said.Next(at + len(text))
		}
		return at >= 0
	})
}

// send types.
func (s *session) send(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// foreground waits until the terminal belongs to a process group other than the shell's, or to the shell's again.
func (s *session) foreground(shell bool) {
	s.t.Helper()
	s.poll("the terminal to change hands", func() bool {
		var group int
		var err error
		control(s.t, s.master, func(fd int) { group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP) })
		return err == nil && (group == s.cmd.Process.Pid) == shell
	})
}

// prompt is the end of the shell's prompt.
func prompt() string {
	if os.Geteuid() == 0 {
		return " # "
	}
	return " $ "
}

// TestInteractive plays a session: Ctrl-C at the prompt, during a command and a loop, Ctrl-Z and fg, completion, history, exit.
func TestInteractive(t *testing.T) {
	s := startSession(t)
	s.expect(prompt())
	s.send("echo half a li\x03")
	s.expect("^C")
	s.expect(prompt())
	s.send("echo code=$?\r")
	s.expect("code=130")

	s.expect(prompt())
	s.send("sleep 1000\r")
	s.foreground(false)
	s.send("\x03")
	s.foreground(true)
	s.expect(prompt())
	s.send("echo after=$?\r")
	s.expect("after=130")

	s.expect(prompt())
	s.send("while true; do sleep 1000; done; echo not reached\r")
	s.foreground(false)
	s.send("\x03")
	s.expect(prompt())
	s.send("while :; do :; done\r")
	s.expect("done\r\n")
	s.send("\x03")
	s.expect(prompt())

	s.send("sleep 1000 | cat\r")
	s.foreground(false)
	s.send("\x1a")
	s.expect("[1] Stopped  sleep 1000 | cat")
	s.expect(prompt())
	s.send("jobs\r")
	s.expect("[1] Stopped")
	s.expect(prompt())
	s.send("fg\r")
	s.foreground(false)
	s.send("\x03")
	s.foreground(true)
	s.expect(prompt())

	s.send("sleep 1000 &\r")
	s.expect("[1] ")
	s.expect(prompt())
	s.send("kill %1; wait; sh -c 'until test -e go; do sleep 0.02; done; exit 3' & sh -c 'sleep 1000' &\r")
	s.expect("[2] ")
	s.expect(prompt())
	s.send("touch go; kill %2; while kill -0 %1 || kill -0 $!; do sleep 0.02; done 2>/dev/null\r")
	s.expect("[1] Exit 3 ")
	s.expect("[2] Terminated ")
	s.expect(prompt())
	s.send("nosuchtool\r")
	s.expect("not found (help lists what is there)")
	s.expect(prompt())
	s.send("sh -c 'kill -9 $$'\r")
	s.expect("killed")
	s.expect(prompt())

	s.send("cat etc/hostn\t\r") // completion
	s.expect("lab")
	s.expect(prompt())
	s.send("cat <<E\rone\rE\r")
	s.expect("one\r\n")
	s.expect("one")
	s.expect(prompt())
	s.send("history | grep -c '^one$'; echo end\r")
	s.expect("\r\n1\r\nend")
	s.expect(prompt())
	s.send("tty; stty -echo; stty -a; stty sane; stty -a\r")
	s.expect("\r\n/dev/pts/")
	s.expect(" -echo ")
	s.expect(" echo ")
	s.expect(prompt())
	s.send("exit 7\r")
	if err := s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("the shell ended with %v", err)
	}
}

// TestInteractiveEnd ends a session by Ctrl-D, with the code of the last command.
func TestInteractiveEnd(t *testing.T) {
	s := startSession(t)
	s.expect(prompt())
	s.send("sh -c 'exit 4'\r")
	s.expect(prompt())
	s.send("\x04")
	if err := s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 4 {
		t.Errorf("the shell ended with %v", err)
	}
}

// TestHangUp ends a session by SIGHUP, and by closing the terminal: the shell ends, and a job that it had.
func TestHangUp(t *testing.T) {
	for name, hang := range map[string]func(*session) error{
		"signal":   func(s *session) error { return s.cmd.Process.Signal(unix.SIGHUP) },
		"terminal": func(s *session) error { return s.master.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := startSession(t)
			s.expect(prompt())
			s.send("sleep 1000 & echo pid=$!.\r")
			s.expect("pid=$!") // what was typed
			s.expect("pid=")
			var pid int
			s.poll("the number of the job", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				n, err := fmt.Sscanf(s.said.String(), "%d.", &pid)
				return n == 1 && err == nil
			})
			s.expect(prompt())
			if err := hang(s); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.cmd.Wait() }()
			select {
			case err := <-ended:
				t.Log(err)
			case <-time.After(10 * time.Second):
				t.Fatal("the shell lives on")
			}
			s.poll("the job to end", func() bool {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				return err != nil || strings.Contains(string(stat), ") Z ") // who reaps it is not our affair
			})
		})
	}
}

// TestHangUpFirst closes the terminal of a shell that is PID 1, with a command in the foreground that would go on.
func TestHangUpFirst(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes a PID namespace")
	}
	s := startSessionIn(t, unix.CLONE_NEWPID)
	s.expect(prompt())
	s.send("sh -c 'trap \"\" HUP; sleep 1000'\r")
	s.poll("the command to run", func() bool {
		var group int
		var err error
		control(t, s.master, func(fd int) { group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP) })
		return err == nil && group != s.cmd.Process.Pid
	})
	if err := s.master.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	select {
	case <-ended:
		// The kernel may let the default action through to PID 1 while one of its threads blocks the signal to fork.
		status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if status.ExitStatus() != 129 && status.Signal() != unix.SIGHUP {
			t.Errorf("it ended with %v", s.cmd.ProcessState)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("PID 1 lives on")
	}
}
