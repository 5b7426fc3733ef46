// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange moves the options of a command line before its arguments, for commands that take options anywhere, as
// docker's do: stave rmi busybox -f. Those that pass arguments on to a program (run) don't; what a command takes is said by its
// UseShortOptionHandling, which lets -aq stand for -a -q.
func arrange(args []string, commands []*cli.Command) []string {
	if len(args) == 0 {
		return args
	}
	arranged, rest := []string{args[0]}, args[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") { // options for all commands
		n := 1
		if takesValue(rest[0], driverFlag()) {
			n = min(2, len(rest))
		}
		arranged, rest = append(arranged, rest[:n]...), rest[n:]
	}
	var command *cli.Command
	for len(rest) > 0 {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 {
			break
		}
		command, commands = commands[i], commands[i].Subcommands
		arranged, rest = append(arranged, rest[0]), rest[1:]
	}
	if command == nil || !command.UseShortOptionHandling || len(command.Subcommands) > 0 {
		return args
	}
	options, arguments := split(rest, command)
	arranged = append(arranged, options...)
	if len(arguments) > 0 {
		arranged = append(append(arranged, "--"), arguments...)
	}
	return arranged
}

// split parts options, with their values, from arguments. Behind -- all are arguments.
func split(words []string, command *cli.Command) (options, arguments []string) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			return options, append(arguments, words...)
		case !strings.HasPrefix(word, "-") || word == "-":
			arguments = append(arguments, word)
		default:
			options = append(options, word)
			if takesValue(word, command.Flags...) && len(words) > 0 {
				options, words = append(options, words[0]), words[1:]
			}
		}
	}
	return options, arguments
}

// takesValue tells whether the word behind an option is its value; of joined short options (-qf) the last may take one.
func takesValue(option string, flags ...cli.Flag) bool {
	name := strings.TrimLeft(option, "-")
	if strings.Contains(name, "=") {
		return false
	}
	if !strings.HasPrefix(option, "--") && len(name) > 1 {
		name = name[len(name)-1:]
	}
	for _, flag := range flags {
		if slices.Contains(flag.Names(), name) {
			valued, ok := flag.(cli.DocGenerationFlag)
			return ok && valued.TakesValue()
		}
	}
	return false
}
