// SPDX-License-Identifier: Apache-2.0

package text

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"stave/toolbox/tool"
)

// Test evaluates an expression: test EXPRESSION or [ EXPRESSION ]. It gives 0 for true, 1 for false, 2 for an error. Operators bind
// as POSIX says: ! closest, then -a, then -o; up to four arguments are read by their number.
func Test(std tool.IO, args []string) int {
	name, args := args[0], args[1:]
	if name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			std.Errorf(name, "the last argument must be ]")
			return 2
		}
		args = args[:len(args)-1]
	}
	result, err := evaluate(args)
	if err != nil {
		std.Fail(name, err)
		return 2
	}
	return btoi(!result)
}

// expression is the arguments of test as they are read.
type expression struct {
	args  []string
	depth int
}

// maxDepth is how deep parentheses may nest.
const maxDepth = 1000

// evaluate gives the value of an expression.
func evaluate(args []string) (bool, error) {
	switch len(args) {
	case 0:
		return false, nil
	case 1:
		return args[0] != "", nil
	case 2:
		if args[0] == "!" {
			return args[1] == "", nil
		}
		return unary(args[0], args[1])
	case 3:
		switch {
		case isBinary(args[1]):
			return binary(args[0], args[1], args[2])
		case args[0] == "!":
			v, err := evaluate(args[1:])
			return !v, err
		case args[0] == "(" && args[2] == ")":
			return args[1] != "", nil
		}
	}
	e := &expression{args: args}
	v, err := e.or()
	if err == nil && len(e.args) > 0 {
		err = fmt.Errorf("%s: not expected here", e.args[0])
	}
	return v, err
}

// or reads terms joined by -o.
func (e *expression) or() (bool, error) {
	v, err := e.and()
	for err == nil && len(e.args) > 0 && e.args[0] == "-o" {
		e.args = e.args[1:]
		var w bool
		w, err = e.and()
		v = v || w
	}
	return v, err
}

// and reads factors joined by -a.
func (e *expression) and() (bool, error) {
	v, err := e.factor()
	for err == nil && len(e.args) > 0 && e.args[0] == "-a" {
		e.args = e.args[1:]
		var w bool
		w, err = e.factor()
		v = v && w
	}
	return v, err
}

// factor reads one primary, a negation or an expression in parentheses.
func (e *expression) factor() (bool, error) {
	e.depth++
	defer func() { e.depth-- }()
	a := e.args
	switch {
	case len(a) == 0:
		return false, errors.New("an argument is missing")
	case e.depth > maxDepth:
		return false, errors.New("too deep")
	case len(a) >= 3 && isBinary(a[1]):
		e.args = a[3:]
		return binary(a[0], a[1], a[2])
	case a[0] == "!":
		e.args = a[1:]
		v, err := e.factor()
		return !v, err
	case a[0] == "(":
		e.args = a[1:]
		v, err := e.or()
		if err == nil && (len(e.args) == 0 || e.args[0] != ")") {
			err = errors.New("a ) is missing")
		}
		if err == nil {
			e.args = e.args[1:]
		}
		return v, err
	case len(a) >= 2 && len(a[0]) == 2 && a[0][0] == '-':
		e.args = a[2:]
		return unary(a[0], a[1])
	}
	e.args = a[1:]
	return a[0] != "", nil
}

// isBinary reports whether a word is an operator between two operands.
func isBinary(op string) bool {
	switch op {
	case "=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

// binary gives the value of A OP B.
func binary(a, op, b string) (bool, error) {
	switch op {
	case "=", "==":
		return a == b, nil
	case "!=":
		return a != b, nil
	case "<":
		return a < b, nil
	case ">":
		return a > b, nil
	case "-nt", "-ot", "-ef":
		return compareFiles(a, op, b), nil
	}
	x, err := strconv.ParseInt(strings.TrimSpace(a), 10, 64)
	if err != nil {
		return false, fmt.Errorf("%s: not a number", a)
	}
	y, err := strconv.ParseInt(strings.TrimSpace(b), 10, 64)
	if err != nil {
		return false, fmt.Errorf("%s: not a number", b)
	}
	switch op {
	case "-eq":
		return x == y, nil
	case "-ne":
		return x != y, nil
	case "-lt":
		return x < y, nil
	case "-le":
		return x <= y, nil
	case "-gt":
		return x > y, nil
	}
	return x >= y, nil
}

// compareFiles gives the value of A -nt B (newer), -ot (older) and -ef (the same file).
func compareFiles(a, op, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 != nil || err2 != nil {
		return op == "-nt" && err1 == nil || op == "-ot" && err2 == nil
	}
	switch op {
	case "-nt":
		return x.ModTime().After(y.ModTime())
	case "-ot":
		return x.ModTime().Before(y.ModTime())
	}
	return os.SameFile(x, y)
}

// unary gives the value of OP ARG.
func unary(op, arg string) (bool, error) {
	switch op {
	case "-n":
		return arg != "", nil
	case "-z":
		return arg == "", nil
	case "-t":
		n, err := strconv.Atoi(arg)
		return err == nil && term.IsTerminal(n), nil
	case "-r":
		return unix.Access(arg, unix.R_OK) == nil, nil
	case "-w":
		return unix.Access(arg, unix.W_OK) == nil, nil
	case "-x":
		return unix.Access(arg, unix.X_OK) == nil, nil
	case "-h", "-L":
		info, err := os.Lstat(arg)
		return err == nil && info.Mode()&os.ModeSymlink != 0, nil
	}
	info, err := os.Stat(arg)
	there := err == nil
	mode := os.FileMode(0)
	if there {
		mode = info.Mode()
	}
	switch op {
	case "-e":
		return there, nil
	case "-f":
		return there && mode.IsRegular(), nil
	case "-d":
		return mode.IsDir(), nil
	case "-s":
		return there && info.Size() > 0, nil
	case "-p":
		return mode&os.ModeNamedPipe != 0, nil
	case "-S":
		return mode&os.ModeSocket != 0, nil
	case "-c":
		return mode&os.ModeCharDevice != 0, nil
	case "-b":
		return mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0, nil
	case "-u":
		return mode&os.ModeSetuid != 0, nil
	case "-g":
		return mode&os.ModeSetgid != 0, nil
	case "-k":
		return mode&os.ModeSticky != 0, nil
	}
	return false, fmt.Errorf("%s: unknown operator", op)
}
