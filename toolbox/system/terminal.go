// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"stave/toolbox/tool"
)

// Clear empties the screen of a terminal that understands ECMA-48, as all that are in use do.
func Clear(std tool.IO, _ []string) int {
	fmt.Fprint(std.Out, "\x1b[H\x1b[2J\x1b[3J")
	return 0
}

// input is the descriptor of standard input, if it is a terminal.
func input(std tool.IO) (int, bool) {
	f, ok := std.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// Tty prints the file of the terminal at standard input, as /proc/self/fd/0 tells it: tty.
func Tty(std tool.IO, _ []string) int {
	if _, ok := input(std); !ok {
		fmt.Fprintln(std.Out, "not a tty")
		return 1
	}
	name, err := os.Readlink("/proc/self/fd/0")
	if err != nil {
		return std.Errorf("tty", "the name needs /proc: %v", err)
	}
	fmt.Fprintln(std.Out, name)
	return 0
}

// Stty shows or sets a few modes of the terminal at standard input: stty [size | -a | sane | [-]echo]. See termios(3).
func Stty(std tool.IO, args []string) int {
	fd, ok := input(std)
	if !ok {
		return std.Errorf(args[0], "standard input is not a terminal")
	}
	if len(args) < 2 {
		args = append(args, "-a")
	}
	for _, word := range args[1:] {
		if err := terminalMode(std, fd, word); err != nil {
			return std.Fail(args[0], err)
		}
	}
	return 0
}

// terminalMode does one word of stty.
func terminalMode(std tool.IO, fd int, word string) error {
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	switch word {
	case "size":
		fmt.Fprintln(std.Out, size.Row, size.Col)
		return nil
	case "-a":
		fmt.Fprintf(std.Out, "rows %d; columns %d;", size.Row, size.Col)
		for _, f := range []struct {
			name string
			on   bool
		}{
			{"isig", t.Lflag&unix.ISIG != 0},
			{"icanon", t.Lflag&unix.ICANON != 0},
			{"echo", t.Lflag&unix.ECHO != 0},
			{"icrnl", t.Iflag&unix.ICRNL != 0},
			{"opost", t.Oflag&unix.OPOST != 0},
		} {
			sign := " "
			if !f.on {
				sign = " -"
			}
			fmt.Fprint(std.Out, sign+f.name)
		}
		fmt.Fprintln(std.Out)
		return nil
	case "echo":
		t.Lflag |= unix.ECHO
	case "-echo":
		t.Lflag &^= unix.ECHO
	case "sane":
		t.Iflag = t.Iflag&^(unix.IGNBRK|unix.INLCR|unix.IGNCR) | unix.BRKINT | unix.ICRNL | unix.IXON
		t.Oflag |= unix.OPOST | unix.ONLCR
		t.Lflag |= unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK
	default:
		return fmt.Errorf("%s: unknown; size, -a, sane, echo and -echo are known", word)
	}
	return unix.IoctlSetTermios(fd, unix.TCSETSW, t)
}

// Nohup runs a command that SIGHUP does not end: nohup COMMAND [ARG…]. What it prints goes to nohup.out instead of a terminal.
func Nohup(std tool.IO, args []string) int {
	if len(args) < 2 {
		return std.Errorf(args[0], "which command?")
	}
	if term.IsTerminal(1) {
		out, err := os.OpenFile("nohup.out", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err == nil {
			err = unix.Dup3(int(out.Fd()), 1, 0)
		}
		if err != nil {
			return std.Fail(args[0], err)
		}
		std.Errorf(args[0], "output goes to nohup.out")
	}
	if term.IsTerminal(2) {
		if err := unix.Dup3(1, 2, 0); err != nil {
			return std.Fail(args[0], err)
		}
	}
	signal.Ignore(unix.SIGHUP)
	return become(std, args[0], args[1:], os.Environ())
}
