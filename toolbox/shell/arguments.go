// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"fmt"
	"strings"
)

// invocation is the command line of a shell.
type invocation struct {
	options    []string // -e, -x and the others that set(1) knows
	login      bool
	noClobber  bool // -C
	hasCommand bool
	command    string // -c
	file       string
	args       []string
}

// parseArguments reads the command line of sh. A name that begins with "-" makes a login shell, as login(1) does it.
func parseArguments(args []string) (*invocation, error) {
	inv := &invocation{login: strings.HasPrefix(args[0], "-")}
	args = args[1:]
	stdin := false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		for _, letter := range word[1:] {
			switch letter {
			case 'c':
				inv.hasCommand = true
			case 'l':
				inv.login = true
			case 'C':
				inv.noClobber = word[0] == '-'
			case 's':
				stdin = true
			case 'i': // a shell at a terminal is interactive by itself, any other can't be
			case 'o':
				if len(args) == 0 {
					return nil, fmt.Errorf("option -o needs a name")
				}
				inv.options = append(inv.options, word[:1]+"o", args[0])
				args = args[1:]
			case 'a', 'e', 'f', 'n', 'u', 'x':
				inv.options = append(inv.options, word[:1]+string(letter))
			default:
				return nil, fmt.Errorf("unknown option %c%c", word[0], letter)
			}
		}
	}
	switch {
	case inv.hasCommand && len(args) == 0:
		return nil, fmt.Errorf("option -c needs a command")
	case inv.hasCommand:
		inv.command, args = args[0], args[1:]
		if len(args) > 0 {
			args = args[1:] // NAME, which is $0
		}
	case len(args) > 0 && !stdin:
		inv.file, args = args[0], args[1:]
	}
	inv.args = args
	return inv, nil
}

// readsInput reports whether the shell takes its commands from standard input.
func (inv *invocation) readsInput() bool { return !inv.hasCommand && inv.file == "" }

// params is the options and positional parameters for the interpreter.
func (inv *invocation) params() []string {
	return append(append([]string{}, inv.options...), append([]string{"--"}, inv.args...)...)
}
