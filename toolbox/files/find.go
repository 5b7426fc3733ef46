// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"stave/toolbox/tool"
)

// found is a file that find has come to.
type found struct {
	path string
	info fs.FileInfo
}

// check is one test or action of find: whether the file passes.
type check func(f found) bool

// finder is one run of find.
type finder struct {
	std      tool.IO
	checks   []check
	acts     bool // an action was given, so nothing is printed by itself
	min, max int  // depths
	xdev     bool
	code     int
}

// Find walks trees: find [PATH…] [-maxdepth N] [-mindepth N] [-xdev] [!] [-name|-iname|-path GLOB] [-type L] [-perm [-/]MODE] [-user U]
// [-size [+-]N[ckMG]] [-mmin [+-]N] [-newer FILE] [-empty] [-print|-print0|-delete|-exec CMD {} ;]. All tests must hold.
func Find(std tool.IO, args []string) int {
	f := &finder{std: std, max: 1 << 30}
	roots, rest := []string{}, args[1:]
	for len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && rest[0] != "!" {
		roots, rest = append(roots, rest[0]), rest[1:]
	}
	if err := f.parse(rest); err != nil {
		return std.Fail(args[0], err)
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	for _, root := range roots {
		info, err := os.Lstat(root)
		if err != nil {
			f.code = std.Fail(args[0], err)
			continue
		}
		f.walk(found{root, info}, 0)
	}
	return f.code
}

// walk looks at one file and what is below it; a folder that is to be deleted comes after its content.
func (f *finder) walk(at found, depth int) {
	if depth >= f.min && !f.acts {
		f.apply(at)
	}
	if at.info.IsDir() && depth < f.max {
		entries, err := os.ReadDir(at.path)
		if err != nil {
			f.code = f.std.Fail("find", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) || err == nil && f.xdev && device(info) != device(at.info) {
				continue
			}
			if err != nil {
				f.code = f.std.Fail("find", err)
				continue
			}
			f.walk(found{strings.TrimSuffix(at.path, "/") + "/" + e.Name(), info}, depth+1)
		}
	}
	if depth >= f.min && f.acts {
		f.apply(at)
	}
}

// apply runs the checks in order until one fails; without an action the path is printed at the end.
func (f *finder) apply(at found) {
	for _, c := range f.checks {
		if !c(at) {
			return
		}
	}
	if !f.acts {
		fmt.Fprintln(f.std.Out, at.path)
	}
}

// parse reads the expression.
func (f *finder) parse(args []string) error {
	for len(args) > 0 {
		word := args[0]
		if word == "!" || word == "-not" {
			before := len(f.checks)
			rest, err := f.one(args[1:])
			if err != nil {
				return err
			}
			if len(f.checks) != before+1 {
				return fmt.Errorf("%s needs a test", word)
			}
			inner := f.checks[before]
			f.checks[before] = func(at found) bool { return !inner(at) }
			args = rest
			continue
		}
		rest, err := f.one(args)
		if err != nil {
			return err
		}
		args = rest
	}
	return nil
}

// one reads one primary and gives what is after it.
func (f *finder) one(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, errors.New("a test is missing")
	}
	word, args := args[0], args[1:]
	add := func(c check) { f.checks = append(f.checks, c) }
	act := func(c check) { f.acts = true; add(c) }
	switch word {
	case "-a", "-and":
		return args, nil
	case "-xdev", "-mount":
		f.xdev = true
		return args, nil
	case "-print":
		act(func(at found) bool { fmt.Fprintln(f.std.Out, at.path); return true })
		return args, nil
	case "-print0":
		act(func(at found) bool { fmt.Fprint(f.std.Out, at.path+"\x00"); return true })
		return args, nil
	case "-delete":
		act(f.remove)
		return args, nil
	case "-empty":
		add(isEmpty)
		return args, nil
	case "-exec":
		return f.exec(args)
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("%s: unknown, or a value is missing", word)
	}
	c, err := f.valued(word, args[0])
	if c != nil {
		add(c)
	}
	return args[1:], err
}

// valued is the check for a test that takes a value; -maxdepth and -mindepth are none.
func (f *finder) valued(word, value string) (check, error) {
	switch word {
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(value)
		if word == "-maxdepth" {
			f.max = n
		} else {
			f.min = n
		}
		return nil, err
	case "-name", "-iname", "-path":
		return matcher(word, value)
	case "-type":
		if len(value) != 1 || !strings.Contains("fdlpscb", value) {
			return nil, fmt.Errorf("-type %s: one of f d l p s c b", value)
		}
		return func(at found) bool {
			return strings.Replace(string(tool.KindLetter(at.info.Mode())), "-", "f", 1) == value
		}, nil
	case "-user":
		id, err := tool.Users().ID(value)
		return func(at found) bool { return owner(at.info) == id }, err
	case "-perm":
		return permissions(value)
	case "-size":
		return sizeCheck(value)
	case "-mmin":
		return amountCheck(value, func(at found) int64 { return int64(time.Since(at.info.ModTime()).Minutes()) })
	case "-newer":
		info, err := os.Stat(value)
		return func(at found) bool { return at.info.ModTime().After(info.ModTime()) }, err
	}
	return nil, fmt.Errorf("%s: unknown", word)
}

// matcher is the check of a name against a glob.
func matcher(word, glob string) (check, error) {
	if _, err := filepath.Match(glob, ""); err != nil {
		return nil, fmt.Errorf("%s: not a pattern", glob)
	}
	return func(at found) bool {
		name, pattern := filepath.Base(at.path), glob
		switch word {
		case "-iname":
			name, pattern = strings.ToLower(name), strings.ToLower(glob)
		case "-path": // here * goes across slashes
			name, pattern = strings.ReplaceAll(at.path, "/", "\x00"), strings.ReplaceAll(glob, "/", "\x00")
		}
		ok, _ := filepath.Match(pattern, name) // the pattern was tried above
		return ok
	}, nil
}

// permissions is the check of -perm: exactly MODE, all of -MODE, any of /MODE.
func permissions(text string) (check, error) {
	kind := text[:min(1, len(text))]
	mode, err := ParseMode(strings.TrimLeft(text, "-/"), 0, false, 0)
	return func(at found) bool {
		have := tool.UnixMode(at.info.Mode())
		switch kind {
		case "-":
			return have&mode == mode
		case "/":
			return have&mode != 0
		}
		return have == mode
	}, err
}

// sizeCheck is the check of -size: blocks of 512 bytes, or the unit that follows.
func sizeCheck(text string) (check, error) {
	unit := int64(512)
	if i := strings.IndexAny(text, "ckMG"); i >= 0 {
		unit = map[byte]int64{'c': 1, 'k': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}[text[i]]
		text = text[:i]
	}
	return amountCheck(text, func(at found) int64 { return (at.info.Size() + unit - 1) / unit })
}

// amountCheck compares a number: +N more than, -N less than, N exactly.
func amountCheck(text string, of func(found) int64) (check, error) {
	n, err := strconv.ParseInt(strings.TrimLeft(text, "+-"), 10, 64)
	return func(at found) bool {
		switch {
		case strings.HasPrefix(text, "+"):
			return of(at) > n
		case strings.HasPrefix(text, "-"):
			return of(at) < n
		}
		return of(at) == n
	}, err
}

// isEmpty reports whether a file or folder has nothing in it.
func isEmpty(at found) bool {
	if !at.info.IsDir() {
		return at.info.Mode().IsRegular() && at.info.Size() == 0
	}
	entries, err := os.ReadDir(at.path)
	return err == nil && len(entries) == 0
}

// remove is -delete.
func (f *finder) remove(at found) bool {
	if at.path == "." {
		return true
	}
	if err := os.Remove(at.path); err != nil {
		f.code = f.std.Fail("find", err)
		return false
	}
	return true
}

// exec is -exec CMD {} ; and, run once for each file too, -exec CMD {} +.
func (f *finder) exec(args []string) ([]string, error) {
	end := 0
	for end < len(args) && args[end] != ";" && args[end] != "+" {
		end++
	}
	if end == 0 || end == len(args) {
		return nil, errors.New("-exec needs a command and a ;")
	}
	command := args[:end]
	f.acts = true
	f.checks = append(f.checks, func(at found) bool {
		line := make([]string, len(command))
		for i, word := range command {
			line[i] = strings.ReplaceAll(word, "{}", at.path)
		}
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f.std.In, tool.Inherit(f.std.Out), f.std.Err
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			f.code = f.std.Fail("find", err)
		}
		return err == nil
	})
	return args[end+1:], nil
}
