// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"stave/toolbox/tool"
)

// Cat copies files to standard output: cat [-n] [FILE…].
func Cat(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "nu")
	if err != nil {
		return std.Fail(args[0], err)
	}
	line := 0
	return std.Each(args[0], o.Args, func(_ string, r io.Reader) error {
		if !o.Has("n") {
			_, err := io.Copy(std.Out, r)
			return err
		}
		return eachLine(r, func(text string) error {
			line++
			_, err := fmt.Fprintf(std.Out, "%6d\t%s\n", line, text)
			return err
		})
	})
}

// eachLine calls fn with each line, without its newline, however long it is.
func eachLine(r io.Reader, fn func(string) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			if err := fn(strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Echo prints its arguments: echo [-n] [-e] [WORD…]. -e reads escapes such as \t.
func Echo(std tool.IO, args []string) int {
	args, end, escapes := args[1:], "\n", false
	for len(args) > 0 && (args[0] == "-n" || args[0] == "-e" || args[0] == "-ne" || args[0] == "-en" || args[0] == "-E") {
		if strings.Contains(args[0], "n") {
			end = ""
		}
		escapes = escapes || strings.Contains(args[0], "e")
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		if plain, _, err := expand.Format(nil, strings.ReplaceAll(text, "%", "%%"), nil); err == nil {
			text = plain
		}
	}
	fmt.Fprint(std.Out, text+end)
	return 0
}

// Printf prints by a format, which is used again as long as arguments are left: printf FORMAT [ARG…].
func Printf(std tool.IO, args []string) int {
	if len(args) < 2 {
		return std.Errorf(args[0], "which format?")
	}
	rest := args[2:]
	for {
		text, used, err := expand.Format(nil, args[1], rest)
		if err != nil {
			return std.Fail(args[0], err)
		}
		fmt.Fprint(std.Out, text)
		rest = rest[min(used, len(rest)):]
		if used == 0 || len(rest) == 0 {
			return 0
		}
	}
}

// True does nothing, successfully.
func True(tool.IO, []string) int { return 0 }

// False does nothing, unsuccessfully.
func False(tool.IO, []string) int { return 1 }

// Tee copies standard input to standard output and to files: tee [-a] [FILE…].
func Tee(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "a")
	if err != nil {
		return std.Fail(args[0], err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.Has("a") {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	code := 0
	writers := []io.Writer{std.Out}
	for _, name := range o.Args {
		f, err := os.OpenFile(name, flags, 0o666)
		if err != nil {
			code = std.Fail(args[0], err)
			continue
		}
		defer f.Close()
		writers = append(writers, f)
	}
	if _, err := io.Copy(io.MultiWriter(writers...), std.In); err != nil {
		return std.Fail(args[0], err)
	}
	return code
}

// Seq prints numbers: seq [FIRST [STEP]] LAST.
func Seq(std tool.IO, args []string) int {
	n := [3]int{1, 1, 0}
	at := map[int][]int{1: {2}, 2: {0, 2}, 3: {0, 1, 2}}[len(args)-1]
	if at == nil {
		return std.Errorf(args[0], "usage: seq [FIRST [STEP]] LAST")
	}
	for i, where := range at {
		var err error
		if n[where], err = strconv.Atoi(args[1+i]); err != nil {
			return std.Errorf(args[0], "%s: not a number", args[1+i])
		}
	}
	if n[1] == 0 {
		return std.Errorf(args[0], "a step of 0 has no end")
	}
	out := bufio.NewWriter(std.Out)
	defer out.Flush()
	for i := n[0]; n[1] > 0 && i <= n[2] || n[1] < 0 && i >= n[2]; i += n[1] {
		if _, err := fmt.Fprintln(out, i); err != nil {
			return 1
		}
	}
	return 0
}

// Basename prints the last part of a path: basename PATH [SUFFIX].
func Basename(std tool.IO, args []string) int {
	if len(args) < 2 {
		return std.Errorf(args[0], "which path?")
	}
	name := filepath.Base(args[1])
	if len(args) > 2 && name != args[2] {
		name = strings.TrimSuffix(name, args[2])
	}
	fmt.Fprintln(std.Out, name)
	return 0
}

// Dirname prints a path without its last part: dirname PATH.
func Dirname(std tool.IO, args []string) int {
	if len(args) < 2 {
		return std.Errorf(args[0], "which path?")
	}
	fmt.Fprintln(std.Out, filepath.Dir(strings.TrimRight(args[1], "/")+strings.Repeat("/", btoi(args[1] == "/"))))
	return 0
}

// btoi is 1 for true.
func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Cmp compares two files: cmp [-s] A B. It gives 0 for equal, 1 for different, 2 for an error.
func Cmp(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "s")
	if err == nil && len(o.Args) != 2 {
		err = fmt.Errorf("two files, please")
	}
	if err != nil {
		std.Fail(args[0], err)
		return 2
	}
	var data [2][]byte
	for i, name := range o.Args {
		code := std.Each(args[0], []string{name}, func(_ string, r io.Reader) (err error) {
			data[i], err = io.ReadAll(r)
			return err
		})
		if code != 0 {
			return 2
		}
	}
	return compare(std, o, data[0], data[1])
}

// compare prints the first difference.
func compare(std tool.IO, o *tool.Options, a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	if o.Has("s") {
		return 1
	}
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	switch {
	case at == len(a):
		fmt.Fprintf(std.Err, "cmp: EOF on %s\n", o.Args[0])
	case at == len(b):
		fmt.Fprintf(std.Err, "cmp: EOF on %s\n", o.Args[1])
	default:
		fmt.Fprintf(std.Out, "%s %s differ: byte %d, line %d\n", o.Args[0], o.Args[1], at+1, 1+bytes.Count(a[:at], []byte("\n")))
	}
	return 1
}
