// SPDX-License-Identifier: Apache-2.0

// Command stave runs containers, explains them call by call, and tells what this machine can do.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"stave/container"
)

// version is set by the linker.
var version = "unknown"

// codeOwn is the exit code for errors of stave's own, as docker run has it; a container's command
// never seems to have failed when it did not run.
const codeOwn = 125

// main runs the command line and exits with its code.
func main() {
	os.Exit(start(os.Args))
}

// start runs the command line and returns the exit code. An error is printed once, here.
func start(args []string) int {
	err := container.CheckProgram()
	if err == nil {
		err = app().Run(arrange(args, commands()))
	}
	if err == nil {
		return 0
	}
	var exit exitError
	if !errors.As(err, &exit) {
		exit = exitError{code: codeOwn, err: err}
	}
	if exit.err != nil {
		fmt.Fprintln(os.Stderr, "stave:", exit.err)
	}
	return exit.code
}

// exitError carries an exit code through the command line library; err may be nil.
type exitError struct {
	code int
	err  error
}

// Error is the message of the error inside.
func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// app is the command line.
func app() *cli.App {
	return &cli.App{
		Name:            "stave",
		Usage:           "containers from scratch: run them, and see how they are made",
		Version:         version,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // start does it
		OnUsageError:    usageError,
		// A comma is part of a value: -e LIST=a,b and -v SOURCE:TARGET:ro,nosuid.
		DisableSliceFlagSeparator: true,
		Flags:                     []cli.Flag{driverFlag()},
		Commands:                  commands(),
		Action:                    noCommand,
	}
}

// commands are the words of the command line.
func commands() []*cli.Command {
	list := []*cli.Command{runCommand(), explainCommand(), psCommand(), rmCommand(), registryCommand(), doctorCommand(), versionCommand()}
	list = append(list, imageCommands()...)
	for _, c := range list {
		c.OnUsageError = usageError
		c.HideHelpCommand = true
	}
	return list
}

// versionCommand prints the version, for those who ask without dashes.
func versionCommand() *cli.Command {
	return &cli.Command{Name: "version", Usage: "print the version", Action: func(*cli.Context) error {
		_, err := fmt.Println("stave version", version)
		return err
	}}
}

// usageError says what was wrong on the command line, without the library's page of help.
func usageError(c *cli.Context, err error, _ bool) error {
	name := "stave"
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	if option, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		err = fmt.Errorf("there is no option %s%s", dashes(option), instead(option))
	}
	return exitError{codeOwn, fmt.Errorf("%w; %s --help shows the options", err, name)}
}

// dashes writes an option with the dashes that it is typed with.
func dashes(option string) string {
	if len(option) == 1 || option == "it" || option == "ti" {
		return "-" + option
	}
	return "--" + option
}

// instead says what to do about options of docker run that this version doesn't have.
func instead(option string) string {
	answers := map[string]string{
		"i": " (input is always passed on)", "it": " (-t is enough: input is always passed on)", "interactive": " (input is always passed on)",
		"d": " (containers run in the foreground)", "detach": " (containers run in the foreground)",
		"p": " (no network yet)", "publish": " (no network yet)", "net": " (no network yet)", "network": " (no network yet)",
	}
	return answers[option]
}

// noCommand answers stave alone, and words that are no command.
func noCommand(c *cli.Context) error {
	if c.Args().Present() && c.Args().First() != "help" {
		return exitError{codeOwn, fmt.Errorf("unknown command %q; stave --help lists them", c.Args().First())}
	}
	return cli.ShowAppHelp(c)
}
