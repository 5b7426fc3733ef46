// SPDX-License-Identifier: Apache-2.0

package text

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"stave/toolbox/tool"
)

// Xargs runs a command with the words of standard input: xargs [-0rt] [-n N] [-I TEXT] [COMMAND [ARG…]]. Its code is 123 when a command
// failed, 126 or 127 when one could not be run.
func Xargs(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "+0rtn:I:", "null=0", "no-run-if-empty=r", "max-args=n")
	if err != nil {
		return std.Fail(args[0], err)
	}
	data, err := io.ReadAll(std.In)
	if err != nil {
		return std.Fail(args[0], err)
	}
	command := o.Args
	if len(command) == 0 {
		command = []string{"echo"}
	}
	most, err := o.Int('n', 5000)
	if err == nil && most < 1 {
		err = fmt.Errorf("-n must be at least 1")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	code := 0
	for _, line := range commandLines(string(data), o, command, most) {
		if o.Has("t") {
			fmt.Fprintln(std.Err, strings.Join(line, " "))
		}
		switch c := runOne(std, args[0], line); {
		case c == 126 || c == 127:
			return c
		case c != 0:
			code = 123
		}
	}
	return code
}

// commandLines is the commands to run.
func commandLines(data string, o *tool.Options, command []string, most int) [][]string {
	var items []string
	switch {
	case o.Has("0"):
		items = strings.Split(strings.TrimSuffix(data, "\x00"), "\x00")
		if data == "" {
			items = nil
		}
	case o.Has("I"):
		for line := range strings.Lines(data) {
			if line = strings.TrimSpace(line); line != "" {
				items = append(items, line)
			}
		}
	default:
		items = words(data)
	}
	var lines [][]string
	if place := o.Value('I', ""); place != "" {
		for _, item := range items {
			line := make([]string, len(command))
			for i, word := range command {
				line[i] = strings.ReplaceAll(word, place, item)
			}
			lines = append(lines, line)
		}
		return lines
	}
	for len(items) > 0 {
		n := min(most, len(items))
		lines = append(lines, append(append([]string{}, command...), items[:n]...))
		items = items[n:]
	}
	if lines == nil && !o.Has("r") {
		lines = append(lines, command)
	}
	return lines
}

// words splits a text at blanks; quotes and backslashes keep them.
func words(text string) []string {
	var list []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
			inWord = true
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				list = append(list, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		list = append(list, word.String())
	}
	return list
}

// runOne runs one command and gives its exit code.
func runOne(std tool.IO, name string, line []string) int {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = tool.Inherit(std.Out), std.Err
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return 1
	case errors.Is(err, exec.ErrNotFound):
		std.Errorf(name, "%s: not found", line[0])
		return 127
	}
	std.Fail(name, err)
	return 126
}
