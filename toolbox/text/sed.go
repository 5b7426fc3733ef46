// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"stave/toolbox/tool"
)

// edit is one command of sed: a substitution, or a line to print.
type edit struct {
	pattern     *regexp.Regexp // nil: print line number only
	replacement string         // as regexp.Expand has it
	all         bool           // g
	line        int            // N of Np
}

// Sed changes text, by two commands alone: sed [-nE] [-e] 's/RE/TEXT/[g]' | 'Np' [FILE…]. -E takes extended expressions.
func Sed(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "nEre:")
	if err != nil {
		return std.Fail(args[0], err)
	}
	scripts, names := o.Values('e'), o.Args
	if len(scripts) == 0 {
		if len(names) == 0 {
			return std.Errorf(args[0], "which command? s/RE/TEXT/[g] or Np")
		}
		scripts, names = names[:1], names[1:]
	}
	var edits []*edit
	for _, script := range scripts {
		e, err := parseEdit(script, o.Has("Er"))
		if err != nil {
			return std.Errorf(args[0], "%s: %v", script, err)
		}
		edits = append(edits, e)
	}
	out, number := bufio.NewWriter(std.Out), 0
	code := std.Each(args[0], names, func(_ string, r io.Reader) error {
		return eachLine(r, func(line string) error {
			number++
			for _, e := range edits {
				if e.pattern != nil {
					line = e.apply(line)
				} else if e.line == number {
					fmt.Fprintln(out, line)
				}
			}
			if !o.Has("n") {
				fmt.Fprintln(out, line)
			}
			return nil
		})
	})
	if err := out.Flush(); err != nil {
		return 1
	}
	return code
}

// parseEdit reads one command.
func parseEdit(script string, extended bool) (*edit, error) {
	if n, err := strconv.Atoi(strings.TrimSuffix(script, "p")); err == nil && strings.HasSuffix(script, "p") {
		return &edit{line: n}, nil
	}
	if len(script) < 2 || script[0] != 's' {
		return nil, errors.New("not known here; s/RE/TEXT/[g] and Np are")
	}
	parts := splitEscaped(script[2:], script[1])
	if len(parts) != 3 || parts[2] != "" && parts[2] != "g" {
		return nil, errors.New("s/RE/TEXT/[g] has three delimiters, and no other flag")
	}
	pattern := parts[0]
	if !extended {
		pattern = basicToExtended(pattern)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return &edit{pattern: re, replacement: expansion(parts[1]), all: parts[2] == "g"}, nil
}

// splitEscaped splits at a byte; after a backslash it is an ordinary one.
func splitEscaped(text string, at byte) []string {
	parts := []string{""}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == at:
			parts = append(parts, "")
			continue
		case text[i] == '\\' && i+1 < len(text):
			if i++; text[i] != at {
				parts[len(parts)-1] += `\`
			}
		}
		parts[len(parts)-1] += text[i : i+1]
	}
	return parts
}

// expansion turns the text of a substitution into that of package regexp: & is the match, \1 a group.
func expansion(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '&':
			out.WriteString("${0}")
		case c == '$':
			out.WriteString("$$")
		case c == '\\' && i+1 < len(text):
			i++
			switch c := text[i]; {
			case c >= '0' && c <= '9':
				out.WriteString("${" + string(c) + "}")
			case c == 'n':
				out.WriteByte('\n')
			case c == 't':
				out.WriteByte('\t')
			default:
				out.WriteByte(c)
			}
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// apply does the substitution in one line.
func (e *edit) apply(line string) string {
	if e.all {
		return e.pattern.ReplaceAllString(line, e.replacement)
	}
	at := e.pattern.FindStringSubmatchIndex(line)
	if at == nil {
		return line
	}
	return line[:at[0]] + string(e.pattern.ExpandString(nil, e.replacement, line, at)) + line[at[1]:]
}
