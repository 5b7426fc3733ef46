// SPDX-License-Identifier: Apache-2.0

package toolbox

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Binary is the name of the program under which it takes the tool's name as its first argument.
const Binary = "stave-lab"

// Main runs the tool that argv[0] names, or argv[1] when argv[0] is the program's own name, on the streams of the
// process, and gives the exit code.
func Main(argv []string) int {
	defaultSignals()
	out := &tool.Checked{File: os.Stdout}
	code := Run(tool.IO{In: os.Stdin, Out: out, Err: os.Stderr}, argv)
	if out.Err != nil && code == 0 {
		return tool.IO{Err: os.Stderr}.Fail(filepath.Base(argv[0]), out.Err)
	}
	return code
}

// defaultSignals gives signals back to the kernel that the Go runtime has taken at start: it would swallow USR1 and ALRM, print
// its stacks on QUIT, and end PID 1 on TERM, where any other program is ended by the first three and, as PID 1, by none
// (signal(7), pid_namespaces(7)). A tool that asks for such a signal by signal.Notify still gets it. HUP and INT stay
// ignored if they were.
func defaultSignals() {
	for _, sig := range []unix.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM,
		unix.SIGSTKFLT, unix.SIGVTALRM, unix.SIGIO, unix.SIGPWR,
	} {
		if !signal.Ignored(sig) {
			tool.DefaultSignal(sig)
		}
	}
}

// Run runs the tool that argv names on the given streams. Without a tool it lists them.
func Run(std tool.IO, argv []string) int {
	name := strings.TrimPrefix(filepath.Base(argv[0]), "-") // "-sh" is a login shell
	if name == Binary {
		if len(argv) == 1 || argv[1] == "--help" {
			list(std)
			return 0
		}
		if argv[1] == plantOption {
			return plant(std, argv[2:])
		}
		argv = argv[1:]
		name = filepath.Base(argv[0])
	}
	t, ok := Find(name)
	if !ok {
		std.Errorf(Binary, "%s: no such tool; %s alone lists them", name, Binary)
		return 127
	}
	if len(argv) == 2 && argv[1] == "--help" && !t.takesAnything {
		fmt.Fprintf(std.Out, "usage: %s %s\n%s.\n", t.Name, t.Synopsis, t.Help)
		return 0
	}
	args := append([]string{name}, argv[1:]...)
	if name == "sh" {
		args[0] = filepath.Base(argv[0])
	}
	return t.Run(std, args)
}

// plantOption makes the root tree of the image: stave asks for it, and whoever wants one to keep.
const plantOption = "--plant"

// plant makes the root tree of the image in the folder that args name, from the running program.
func plant(std tool.IO, args []string) int {
	if len(args) != 1 {
		return std.Errorf(Binary, "usage: %s %s FOLDER", Binary, plantOption)
	}
	program, err := os.Executable()
	if err == nil {
		err = Plant(args[0], program)
	}
	if err != nil {
		return std.Errorf(Binary, "%v", err)
	}
	return 0
}

// list prints every tool with its line of help.
func list(std tool.IO) {
	fmt.Fprintf(std.Out, "usage: %s TOOL [ARGUMENT...], or call it by the name of a tool\n\n", Binary)
	for _, t := range Tools() {
		fmt.Fprintf(std.Out, "  %-10s %s\n", t.Name, t.Help)
	}
}
