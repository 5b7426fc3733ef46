// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestInterrupted ends commands that wait for input by one signal. They take back what they began.
func TestInterrupted(t *testing.T) {
	witness.Need(t, "root")
	for name, args := range map[string][]string{"load": {"load"}, "import": {"import", "-"}, "prune": {"image", "prune"}} {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(folder(t), "state")
			c := staveIn(state, args...)
			in, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			var out, errs writings
			c.Stdout, c.Stderr = &out, &errs
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			witness.Until(t, "it waits for input", func() bool {
				layout, _ := os.Stat(filepath.Join(state, "images/oci-layout"))
				return layout != nil || strings.Contains(out.String(), "[y/N]")
			})
			if err := c.Process.Signal(unix.SIGTERM); err != nil {
				t.Error(err)
			}
			wait(t, c)
			if code(c) != 1 || !strings.Contains(errs.String(), "terminated") {
				t.Errorf("exit code %d, %s", code(c), &errs)
			}
			leases, _ := os.ReadDir(filepath.Join(state, "images/leases"))
			for _, lease := range leases {
				t.Errorf("the lease %s is left", lease.Name())
			}
		})
	}
}

// TestInterruptedTwice ends a command by the second signal that waits for what the first can't end: a reader of its output.
func TestInterruptedTwice(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	state := filepath.Join(folder(t), "state")
	must(t, state, "import", makeBox(t), "box")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := staveIn(state, "save", "box")
	c.Stdout = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	witness.Until(t, "the pipe is full", func() bool {
		n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		return err == nil && n == 1<<16
	})
	for range 2 {
		if err := c.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	witness.Until(t, "it has ended", func() bool {
		var info unix.Siginfo
		c.Process.Signal(unix.SIGTERM)
		return unix.Waitid(unix.P_PID, c.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil) == nil && info.Signo != 0
	})
	wait(t, c)
	if got := code(c); got != 128+int(unix.SIGTERM) {
		t.Errorf("exit code %d", got)
	}
}

// TestLoginInterrupted interrupts the question for a password: the terminal shows again what is typed. A user who is named is asked, also
// when his password is known.
func TestLoginInterrupted(t *testing.T) {
	host, config := serve(t, "user:secret")(), folder(t)
	login := func(args ...string) *typist {
		c := staveIn(filepath.Join(folder(t), "state"), append([]string{"login"}, append(args, host)...)...)
		c.Env = append(c.Env, "DOCKER_CONFIG="+config)
		return sitDown(t, c)
	}
	p := login("-u", "user", "-p", "secret")
	p.until("Login Succeeded")
	wait(t, p.command)
	p = login("-u", "user")
	p.until("Password: ")
	echo := func() bool {
		mode, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
		return err == nil && mode.Lflag&unix.ECHO != 0
	}
	witness.Until(t, "the terminal shows nothing more", func() bool { return !echo() })
	p.types("\x03")
	wait(t, p.command)
	if code(p.command) != 1 || !echo() {
		t.Errorf("exit code %d; the terminal shows what is typed: %v", code(p.command), echo())
	}
	p = login()
	p.until("Authenticating with existing credentials...")
	p.until("Login Succeeded")
	wait(t, p.command)
}
