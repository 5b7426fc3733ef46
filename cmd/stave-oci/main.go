// SPDX-License-Identifier: Apache-2.0

// Command stave-oci is the OCI runtime: the command line of runc for one container.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/container"
)

// version is set by the linker.
var version = "unknown"

// command is one word of the command line. run returns the exit code.
type command struct {
	name, args, help string
	run              func(g globals, args []string) (int, error)
}

// globals are the options before the command.
type globals struct {
	root    string // --root
	systemd bool   // --systemd-cgroup
	log     *log
}

// commands lists what this program can do.
func commands() []command {
	return []command{
		{"create", "[--bundle DIR] [--console-socket SOCKET] [--pid-file FILE] ID", "make a container", create},
		{"start", "ID", "let the command of a created container run", start},
		{"run", "[--bundle DIR] [--detach] [--keep] [--pid-file FILE] ID", "make a container and run it", run},
		{"state", "ID", "say what a container is, as JSON", state},
		{"list", "[--format table|json] [--quiet]", "list the containers", list},
		{"exec", "[--tty] [--user UID[:GID]] [--env NAME=VALUE] [--process FILE] ID COMMAND [ARGUMENT…]", "run a process in a container", execute},
		{"kill", "[--all] ID [SIGNAL]", "send a signal, SIGTERM where none is given", kill},
		{"delete", "[--force] ID", "remove a container that has stopped", remove},
		{"spec", "[--bundle DIR] [--rootless]", "write a configuration to start from", spec},
		{"features", "", "say what this runtime can do, as JSON", features},
	}
}

// main runs the command line and exits with its code.
func main() {
	os.Exit(dispatch(os.Args[1:]))
}

// dispatch reads the global options and runs the command. An error is printed once, here.
func dispatch(args []string) int {
	if err := container.CheckProgram(); err != nil {
		fmt.Fprintln(os.Stderr, "stave-oci:", err)
		return 1
	}
	flags := flag.NewFlagSet("stave-oci", flag.ContinueOnError)
	flags.Usage = func() { usage(flags.Output()) }
	showVersion := flags.Bool("version", false, "print the version")
	flags.BoolVar(showVersion, "v", false, "print the version")
	g := globals{log: &log{}}
	flags.StringVar(&g.root, "root", container.DefaultRoot(), "`folder` in which containers are kept")
	flags.BoolVar(&g.systemd, "systemd-cgroup", false, "let systemd make cgroups; cgroupsPath is slice:prefix:name")
	flags.StringVar(&g.log.file, "log", "", "`file` that errors are written to, too")
	flags.StringVar(&g.log.format, "log-format", "text", "of that file: text or json")
	flags.BoolVar(&g.log.debug, "debug", false, "write more: every kernel call that is planned")
	if err := flags.Parse(args); err != nil {
		return parseCode(err)
	}
	if *showVersion {
		fmt.Printf("stave-oci version %s\nspec: %s\ngo: %s\n", version, specs.Version, runtime.Version())
		return 0
	}
	return g.command(flags.Args())
}

// command runs one command and reports its error.
func (g globals) command(args []string) int {
	if len(args) == 0 || args[0] == "help" {
		usage(os.Stdout)
		return 0
	}
	if err := g.log.check(); err != nil {
		fmt.Fprintln(os.Stderr, "stave-oci:", err)
		return 1
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		code, err := c.run(g, args[1:])
		if err == nil || errors.Is(err, flag.ErrHelp) {
			return code
		}
		if !errors.Is(err, errUsage) {
			fmt.Fprintln(os.Stderr, "stave-oci:", err)
			g.log.write("error", err.Error())
		}
		return max(code, 1)
	}
	fmt.Fprintf(os.Stderr, "stave-oci: unknown command %q; stave-oci help lists them\n", args[0])
	return 1
}

// errUsage stands for a mistake on the command line that has been printed already.
var errUsage = errors.New("wrong use")

// parseCode is the exit code after flag.Parse failed: asking for help is no failure.
func parseCode(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	return 1
}

// usage prints the commands.
func usage(w io.Writer) {
	fmt.Fprintln(w, "stave-oci: the OCI runtime of stave\n\nusage: stave-oci [--version] [--root DIR] [--systemd-cgroup] [--log FILE] [--log-format text|json] [--debug] COMMAND")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s%s\n             %s\n", c.name, c.help, c.args)
	}
}

// parseError is what is left to say after flag.Parse failed: it has printed its error.
func parseError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return errUsage
}

// parse reads a command's options and wants a number of arguments after them.
func parse(flags *flag.FlagSet, args []string, want int) error {
	if err := flags.Parse(args); err != nil {
		return parseError(err)
	}
	if flags.NArg() != want {
		return fmt.Errorf("%s takes %d arguments, %d are given", flags.Name(), want, flags.NArg())
	}
	return nil
}
