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
	"strconv"

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

// codeUnknown is the exit code for a command that is not known, as runc has it.
const codeUnknown = 3

// globals are the options before the command.
type globals struct {
	root    string // --root
	systemd bool   // --systemd-cgroup
	// rootless is --rootless true: what an ordinary user may not set is left out. With false or auto it is refused.
	rootless bool
	log      *log
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
		{"events", "[--interval TIME] [--stats] ID", "say what a container uses, and when it had no memory left, a line of JSON each", events},
		{"kill", "[--all] ID [SIGNAL]", "send a signal, SIGTERM where none is given", kill},
		{"delete", "[--force] ID", "remove a container that has stopped", remove},
		{"pause", "ID", "stop all processes of a container", pause},
		{"resume", "ID", "let the processes of a paused container go on", resume},
		{"ps", "[--format table|json] ID [OPTIONS OF ps]", "list the processes of a container", ps},
		{"update", "[--resources FILE] [--memory SIZE] [--cpu-quota TIME] … ID", "change the limits of a container", update},
		{"checkpoint", "[--image-path DIR] [--work-path DIR] [--leave-running] ID", "write a container into images, by CRIU", checkpoint},
		{"restore", "[--image-path DIR] [--bundle DIR] [--detach] [--console-socket SOCKET] [--pid-file FILE] ID", "make a container of images, by CRIU", restore},
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
	g := globals{log: &log{}}
	flags, showVersion := g.flags()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		usage(os.Stdout)
		return 0
	case err != nil:
		g.report(fmt.Errorf("%w; stave-oci help lists the options", err))
		return 1
	}
	if *showVersion {
		fmt.Printf("stave-oci version %s\nspec: %s\ngo: %s\n", version, specs.Version, runtime.Version())
		return 0
	}
	return g.command(flags.Args())
}

// flags are the options before the command, and whether the version is asked for.
func (g *globals) flags() (flags *flag.FlagSet, showVersion *bool) {
	flags = flag.NewFlagSet("stave-oci", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed by report
	showVersion = flags.Bool("version", false, "print the version")
	flags.BoolVar(showVersion, "v", false, "print the version")
	flags.StringVar(&g.root, "root", container.DefaultRoot(), "`folder` in which containers are kept")
	flags.BoolVar(&g.systemd, "systemd-cgroup", false, "let systemd make cgroups; cgroupsPath is slice:prefix:name")
	flags.Func("rootless", "`true` leaves out limits that the user has no cgroup for; false and auto refuse them", g.setRootless)
	flags.StringVar(&g.log.file, "log", "", "`file` that errors are written to, too")
	flags.StringVar(&g.log.format, "log-format", "text", "of that file: `text|json`")
	flags.BoolVar(&g.log.debug, "debug", false, "write more: every kernel call that is planned")
	return flags, showVersion
}

// setRootless reads --rootless.
func (g *globals) setRootless(text string) error {
	if text == "auto" {
		return nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("one of true, false, auto")
	}
	g.rootless = is
	return nil
}

// command runs one command and reports its error.
func (g globals) command(args []string) int {
	if len(args) > 0 && (args[0] == "help" || args[0] == "h") {
		if args = args[1:]; len(args) > 0 {
			args = []string{args[0], "--help"}
		}
	}
	if len(args) == 0 {
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
		switch {
		case errors.Is(err, flag.ErrHelp):
			return 0
		case err == nil:
			return code
		}
		g.report(err)
		return max(code, 1)
	}
	g.report(fmt.Errorf("unknown command %q; stave-oci help lists them", args[0]))
	return codeUnknown
}

// usage prints the commands and the options before them.
func usage(w io.Writer) {
	fmt.Fprintln(w, "stave-oci: the OCI runtime of stave\n\nusage: stave-oci [OPTIONS] COMMAND [OPTIONS OF THE COMMAND]")
	g := globals{log: &log{}}
	flags, _ := g.flags()
	printFlags(w, flags)
	fmt.Fprintln(w, "\nstave-oci help COMMAND lists the options of one of these:")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s%s\n             %s\n", c.name, c.help, c.args)
	}
}

// parseFlags reads a command's options. Asking for help prints it.
func parseFlags(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if flags.Name() != "exec" && flags.Name() != "ps" { // there the rest is a command line of its own
		err = parseBehind(flags, err)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		help(os.Stdout, flags)
	case err != nil:
		return fmt.Errorf("%s: %w; stave-oci %s --help lists the options", flags.Name(), err, flags.Name())
	}
	return err
}

// parseBehind reads the options that come behind or between the arguments.
func parseBehind(flags *flag.FlagSet, err error) error {
	var arguments []string
	for err == nil && flags.NArg() > 0 {
		arguments = append(arguments, flags.Arg(0))
		err = flags.Parse(flags.Args()[1:])
	}
	if err != nil {
		return err
	}
	return flags.Parse(append([]string{"--"}, arguments...))
}

// help prints what a command does, and its options.
func help(w io.Writer, flags *flag.FlagSet) {
	for _, c := range commands() {
		if c.name == flags.Name() {
			fmt.Fprintf(w, "stave-oci %s: %s\n\nusage: stave-oci %s %s\n", c.name, c.help, c.name, c.args)
		}
	}
	printFlags(w, flags)
}

// printFlags lists options.
func printFlags(w io.Writer, flags *flag.FlagSet) {
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		fmt.Fprintf(w, "  %-28s %s\n", dashes+f.Name+" "+value, text)
	})
}

// parse reads a command's options and wants a number of arguments after them.
func parse(flags *flag.FlagSet, args []string, want int) error {
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if n := flags.NArg(); n != want {
		return fmt.Errorf("%s takes %d %s, %d %s given", flags.Name(), want, plural("argument", want), n, plural("is", n))
	}
	return nil
}

// plural is a word in the form that goes with a number.
func plural(word string, n int) string {
	switch {
	case n == 1:
		return word
	case word == "is":
		return "are"
	}
	return word + "s"
}
