// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// umaskBuiltin is umask [OCTAL].
func (s *Shell) umaskBuiltin(_ context.Context, hc interp.HandlerContext, args []string) error {
	if len(args) == 1 {
		old := syscall.Umask(0)
		syscall.Umask(old)
		fmt.Fprintf(hc.Stdout, "%04o\n", old)
		return nil
	}
	mask, err := strconv.ParseUint(args[1], 8, 32)
	if err != nil || mask > 0o777 {
		return s.complain(hc, args, fmt.Errorf("%s: not an octal mode", args[1]))
	}
	syscall.Umask(int(mask))
	return nil
}

// setBuiltin is set, of which -C, noclobber, is ours, and the rest the interpreter's.
func (s *Shell) setBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	rest := []string{"set"}
	for i := 1; i < len(args); i++ {
		word := args[i]
		if len(word) < 2 || word[0] != '-' && word[0] != '+' || word == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		switch named := strings.HasSuffix(word, "o") && i+1 < len(args); {
		case named && args[i+1] == "noclobber":
			s.noClobber = word[0] == '-'
			word = strings.TrimSuffix(word, "o")
			i++
		case named:
			rest = append(rest, word, args[i+1])
			i++
			continue
		case strings.Contains(word, "C"):
			s.noClobber = word[0] == '-'
			word = strings.ReplaceAll(word, "C", "")
		}
		if len(word) > 1 {
			rest = append(rest, word)
		}
	}
	if len(rest) == 1 && len(args) > 1 {
		return nil
	}
	return hc.Builtin(ctx, rest)
}

// limit is one resource limit; see getrlimit(2).
type limit struct {
	letter   string
	resource int
	unit     uint64
	text     string
}

// limits is the resources ulimit knows.
func limits() []limit {
	return []limit{
		{"c", unix.RLIMIT_CORE, 512, "core file size (blocks)"},
		{"d", unix.RLIMIT_DATA, 1024, "data segment (KiB)"},
		{"f", unix.RLIMIT_FSIZE, 512, "file size (blocks)"},
		{"l", unix.RLIMIT_MEMLOCK, 1024, "locked memory (KiB)"},
		{"n", unix.RLIMIT_NOFILE, 1, "open files"},
		{"s", unix.RLIMIT_STACK, 1024, "stack (KiB)"},
		{"t", unix.RLIMIT_CPU, 1, "cpu time (seconds)"},
		{"u", unix.RLIMIT_NPROC, 1, "processes of the user"},
		{"v", unix.RLIMIT_AS, 1024, "address space (KiB)"},
	}
}

// ulimitBuiltin is ulimit [-HS] [-a | -LETTER] [VALUE]. Go raises the soft limit of open files for itself and gives children
// back what there was, so for -n the shell shows the hard limit until a value is set.
func (s *Shell) ulimitBuiltin(_ context.Context, hc interp.HandlerContext, args []string) error {
	letter, hard, soft, value := "f", false, false, ""
	for _, arg := range args[1:] {
		if !strings.HasPrefix(arg, "-") {
			value = arg
			continue
		}
		for _, l := range arg[1:] {
			switch l {
			case 'H':
				hard = true
			case 'S':
				soft = true
			default:
				letter = string(l)
			}
		}
	}
	found := false
	for _, l := range limits() {
		if letter != "a" && letter != l.letter {
			continue
		}
		found = true
		if err := oneLimit(hc, l, letter == "a", hard, soft, value); err != nil {
			return s.complain(hc, args, err)
		}
	}
	if !found {
		return s.complain(hc, args, fmt.Errorf("unknown option -%s", letter))
	}
	return nil
}

// oneLimit prints or sets one limit.
func oneLimit(hc interp.HandlerContext, l limit, named, hard, soft bool, value string) error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(l.resource, &r); err != nil {
		return err
	}
	if value == "" {
		n := r.Cur
		if hard {
			n = r.Max
		}
		text := "unlimited"
		if n != unix.RLIM_INFINITY {
			text = strconv.FormatUint(n/l.unit, 10)
		}
		if named {
			text = fmt.Sprintf("-%s %-26s %s", l.letter, l.text, text)
		}
		fmt.Fprintln(hc.Stdout, text)
		return nil
	}
	n := uint64(unix.RLIM_INFINITY)
	if value != "unlimited" {
		parsed, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: not a number", value)
		}
		n = parsed * l.unit
	}
	if !hard || soft {
		r.Cur = n
	}
	if hard || !soft {
		r.Max = n
	}
	// syscall's own function, because it also tells ForkExec not to give children the old limit of open files.
	return syscall.Setrlimit(l.resource, &r)
}
