// SPDX-License-Identifier: Apache-2.0

package text

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"stave/toolbox/tool"
)

// errEnough ends the reading of a file early.
var errEnough = errors.New("enough")

// search is one run of grep.
type search struct {
	std      tool.IO
	name     string
	o        *tool.Options
	pattern  *regexp.Regexp
	withName bool
	found    bool
	failed   bool
}

// Grep prints the lines that match: grep [-EFivcnqrolwsxHh] [-m N] PATTERN [FILE…] or with -e PATTERN. It gives 0 for a match, 1
// for none, 2 for an error.
func Grep(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "EFGivcnqrRolwsxHhe:m:", "ignore-case=i", "invert-match=v", "count=c", "quiet=q",
		"recursive=r", "extended-regexp=E", "fixed-strings=F", "line-number=n", "only-matching=o", "max-count=m")
	if err == nil && !o.Has("e") && len(o.Args) == 0 {
		err = fmt.Errorf("which pattern?")
	}
	if err != nil {
		std.Fail(args[0], err)
		return 2
	}
	patterns := o.Values('e')
	if patterns == nil {
		patterns, o.Args = o.Args[:1], o.Args[1:]
	}
	s := &search{std: std, name: args[0], o: o}
	if s.pattern, err = compile(o, patterns); err != nil {
		std.Fail(args[0], err)
		return 2
	}
	recursive := o.Has("rR")
	if recursive && len(o.Args) == 0 {
		o.Args = []string{"."}
	}
	s.withName = (len(o.Args) > 1 || recursive || o.Has("H")) && !o.Has("h")
	for _, name := range s.files(recursive) {
		s.file(name)
	}
	switch {
	case s.found && (o.Has("q") || !s.failed):
		return 0
	case s.failed:
		return 2
	}
	return 1
}

// compile makes one expression of all patterns, each of which may be several lines.
func compile(o *tool.Options, patterns []string) (*regexp.Regexp, error) {
	var parts []string
	for p := range strings.SplitSeq(strings.Join(patterns, "\n"), "\n") {
		switch {
		case o.Has("F"):
			p = regexp.QuoteMeta(p)
		case !o.Has("E"):
			p = basicToExtended(p)
		}
		parts = append(parts, "(?:"+p+")")
	}
	text := strings.Join(parts, "|")
	if o.Has("w") {
		text = `\b(?:` + text + `)\b`
	}
	if o.Has("x") {
		text = `^(?:` + text + `)$`
	}
	if o.Has("i") {
		text = "(?i)" + text
	}
	return regexp.Compile(text)
}

// basicToExtended turns a basic regular expression into an extended one: + ? | ( ) { } have their meaning after a
// backslash and are themselves without one, and a leading * is itself. See regex(7).
func basicToExtended(p string) string {
	var out strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '\\' && i+1 < len(p):
			i++
			if !strings.ContainsRune("+?|(){}", rune(p[i])) {
				out.WriteByte('\\')
			}
			out.WriteByte(p[i])
		case c == '[': // a bracket expression is the same in both
			end := bracketEnd(p, i)
			out.WriteString(p[i:end])
			i = end - 1
		case strings.ContainsRune("+?|(){}", rune(c)), c == '*' && i == 0:
			out.WriteByte('\\')
			out.WriteByte(c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// bracketEnd is where the bracket expression that begins at i ends.
func bracketEnd(p string, i int) int {
	j := i + 1
	for j < len(p) && (p[j] == '^' && j == i+1 || p[j] == ']' && (j == i+1 || j == i+2 && p[i+1] == '^')) {
		j++
	}
	for j < len(p) && p[j] != ']' {
		if strings.HasPrefix(p[j:], "[:") {
			if k := strings.Index(p[j:], ":]"); k > 0 {
				j += k + 1
			}
		}
		j++
	}
	return min(j+1, len(p))
}

// files is the names to search: with -r every regular file below them.
func (s *search) files(recursive bool) []string {
	if !recursive {
		if len(s.o.Args) == 0 {
			return []string{"-"}
		}
		return s.o.Args
	}
	var names []string
	for _, root := range s.o.Args {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				s.complain(err)
			} else if d.Type().IsRegular() || path == root && !d.IsDir() {
				names = append(names, path)
			}
			return nil
		})
	}
	return names
}

// complain notes an error and prints it unless -s.
func (s *search) complain(err error) {
	s.failed = true
	if !s.o.Has("s") {
		s.std.Fail(s.name, err)
	}
}

// file searches one file.
func (s *search) file(name string) {
	in := s.std.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			s.complain(err)
			return
		}
		defer f.Close()
		in = f
	} else {
		name = "(standard input)"
	}
	if err := s.lines(name, in); err != nil && !errors.Is(err, errEnough) {
		s.complain(err)
	}
}

// lines searches the lines of one file and prints what the options ask for.
func (s *search) lines(name string, in io.Reader) error {
	most, err := s.o.Int('m', -1)
	if err != nil {
		return err
	}
	number, count := 0, 0
	err = eachLine(in, func(line string) error {
		number++
		if s.pattern.MatchString(line) == s.o.Has("v") {
			return nil
		}
		count++
		s.found = true
		switch {
		case s.o.Has("q"):
			return errEnough
		case s.o.Has("l"):
			fmt.Fprintln(s.std.Out, name)
			return errEnough
		case !s.o.Has("c"):
			s.print(name, number, line)
		}
		if count == most {
			return errEnough
		}
		return nil
	})
	if s.o.Has("c") && !s.o.Has("ql") {
		s.line(name, 0, fmt.Sprint(count))
	}
	return err
}

// print prints one matching line, or with -o each match in it.
func (s *search) print(name string, number int, line string) {
	if !s.o.Has("o") {
		s.line(name, number, line)
		return
	}
	for _, match := range s.pattern.FindAllString(line, -1) {
		if match != "" && !s.o.Has("v") {
			s.line(name, number, match)
		}
	}
}

// line prints text with the name and the number before it, as the options ask.
func (s *search) line(name string, number int, text string) {
	if s.withName {
		text = name + ":" + map[bool]string{true: fmt.Sprintf("%d:", number)}[s.o.Has("n") && number > 0] + text
	} else if s.o.Has("n") && number > 0 {
		text = fmt.Sprintf("%d:%s", number, text)
	}
	fmt.Fprintln(s.std.Out, text)
}
