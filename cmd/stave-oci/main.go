// SPDX-License-Identifier: Apache-2.0

// Command stave-oci is the OCI runtime: the command line of runc for one container.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	systemd bool // --systemd-cgroup
}

// commands lists what this program can do.
func commands() []command {
	return []command{
		{"run", "[--bundle DIR] [--pid-file FILE] ID", "make a container and run it in the foreground", run},
		{"spec", "[--bundle DIR] [--rootless]", "write a configuration to start from", spec},
		{"features", "", "say what this runtime can do, as JSON", features},
	}
}

// main runs the command line and exits with its code.
func main() {
	os.Exit(start(os.Args[1:]))
}

// start reads the global options and runs the command. An error is printed once, here.
func start(args []string) int {
	if err := container.CheckProgram(); err != nil {
		fmt.Fprintln(os.Stderr, "stave-oci:", err)
		return 1
	}
	flags := flag.NewFlagSet("stave-oci", flag.ContinueOnError)
	flags.Usage = func() { usage(flags.Output()) }
	showVersion := flags.Bool("version", false, "print the version")
	flags.BoolVar(showVersion, "v", false, "print the version")
	var g globals
	flags.BoolVar(&g.systemd, "systemd-cgroup", false, "let systemd make cgroups; cgroupsPath is slice:prefix:name")
	if err := flags.Parse(args); err != nil {
		return parseCode(err)
	}
	if *showVersion {
		fmt.Printf("stave-oci version %s\nspec: %s\ngo: %s\n", version, specs.Version, runtime.Version())
		return 0
	}
	for _, c := range commands() {
		if c.name == flags.Arg(0) {
			code, err := c.run(g, flags.Args()[1:])
			if err == nil || errors.Is(err, flag.ErrHelp) {
				return code
			}
			if !errors.Is(err, errUsage) {
				fmt.Fprintln(os.Stderr, "stave-oci:", err)
			}
			return max(code, 1)
		}
	}
	if flags.NArg() > 0 && flags.Arg(0) != "help" {
		fmt.Fprintf(os.Stderr, "stave-oci: unknown command %q; stave-oci help lists them\n", flags.Arg(0))
		return 1
	}
	usage(os.Stdout)
	return 0
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
	fmt.Fprintln(w, "stave-oci: the OCI runtime of stave\n\nusage: stave-oci [--version] [--systemd-cgroup] COMMAND")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s%-40s%s\n", c.name, c.args, c.help)
	}
}

// parse reads a command's options and wants a number of arguments after them.
func parse(flags *flag.FlagSet, args []string, want int) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() != want {
		return fmt.Errorf("%s takes %d arguments, %d are given", flags.Name(), want, flags.NArg())
	}
	return nil
}

// run makes the container of a bundle and runs it.
func run(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	var o container.RunOptions
	bundle := "."
	flags.StringVar(&bundle, "bundle", bundle, "`folder` of the bundle")
	flags.StringVar(&bundle, "b", bundle, "`folder` of the bundle")
	flags.StringVar(&o.PidFile, "pid-file", "", "`file` that gets the number of the container's process")
	flags.IntVar(&o.Keep, "preserve-fds", 0, "how many descriptors after 2 the command inherits")
	flags.BoolVar(&o.NoPivot, "no-pivot", false, "don't use pivot_root")
	flags.BoolVar(&o.NoNewKeyring, "no-new-keyring", false, "keep the session keyring of the caller")
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	o.ID, o.Systemd = flags.Arg(0), g.systemd
	if err := container.CheckID(o.ID); err != nil {
		return 0, err
	}
	b, err := container.Load(bundle)
	if err != nil {
		return 0, err
	}
	return container.Run(b, o)
}

// spec writes config.json. One that is there already is left alone.
func spec(_ globals, args []string) (int, error) {
	flags := flag.NewFlagSet("spec", flag.ContinueOnError)
	bundle := "."
	flags.StringVar(&bundle, "bundle", bundle, "`folder` of the bundle")
	flags.StringVar(&bundle, "b", bundle, "`folder` of the bundle")
	rootless := flags.Bool("rootless", false, "for an ordinary user")
	if err := parse(flags, args, 0); err != nil {
		return 0, err
	}
	s := container.Example()
	if *rootless {
		container.Rootless(s, os.Getuid(), os.Getgid())
	}
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return 0, err
	}
	name := filepath.Join(bundle, "config.json")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return 0, fmt.Errorf("%s exists already; move it away first", name)
	}
	if err != nil {
		return 0, err
	}
	_, err = f.Write(append(data, '\n'))
	return 0, errors.Join(err, f.Close())
}

// features prints what this runtime can do.
func features(_ globals, args []string) (int, error) {
	if err := parse(flag.NewFlagSet("features", flag.ContinueOnError), args, 0); err != nil {
		return 0, err
	}
	f, err := container.Features()
	if err != nil {
		return 0, err
	}
	data, err := json.MarshalIndent(f, "", "    ")
	if err != nil {
		return 0, err
	}
	fmt.Printf("%s\n", data)
	return 0, nil
}
