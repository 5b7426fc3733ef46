// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"stave/toolbox/tool"
)

// key is what sort compares: fields from first to last (0: to the end of the line), numerically or not.
type key struct {
	first, last int
	numeric     bool
	reverse     bool
}

// parseKey reads a key of sort -k: 2, 2,3, 2n, 2,2nr.
func parseKey(text string) (key, error) {
	k := key{numeric: strings.Contains(text, "n"), reverse: strings.Contains(text, "r")}
	from, to, both := strings.Cut(strings.NewReplacer("n", "", "r", "").Replace(text), ",")
	var err error
	if k.first, err = strconv.Atoi(from); err != nil || k.first < 1 {
		return k, fmt.Errorf("%s: not a key", text)
	}
	if both {
		if k.last, err = strconv.Atoi(to); err != nil || k.last < k.first {
			return k, fmt.Errorf("%s: not a key", text)
		}
	}
	return k, nil
}

// of is the part of a line that the key names.
func (k key) of(line, separator string) string {
	if k.first == 1 && k.last == 0 {
		return line
	}
	fields := strings.Fields(line)
	if separator != "" {
		fields = strings.Split(line, separator)
	}
	last := len(fields)
	if k.last > 0 {
		last = min(k.last, last)
	}
	if k.first > last {
		return ""
	}
	return strings.Join(fields[k.first-1:last], " ")
}

// compare compares two lines by the key.
func (k key) compare(a, b, separator string) int {
	a, b = k.of(a, separator), k.of(b, separator)
	c := strings.Compare(a, b)
	if k.numeric {
		c = cmp.Compare(leadingNumber(a), leadingNumber(b))
	}
	if k.reverse {
		return -c
	}
	return c
}

// leadingNumber is the number that a text begins with, 0 for none.
func leadingNumber(text string) float64 {
	text = strings.TrimLeft(text, " \t")
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || text[end] == '.' || end == 0 && text[end] == '-') {
		end++
	}
	n, _ := strconv.ParseFloat(text[:end], 64) // what is no number sorts as 0
	return n
}

// Sort sorts lines: sort [-nru] [-t C] [-k KEY]… [-o FILE] [FILE…].
func Sort(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "nrust:k:o:", "numeric-sort=n", "reverse=r", "unique=u")
	if err != nil {
		return std.Fail(args[0], err)
	}
	keys := []key{}
	for _, text := range o.Values('k') {
		k, err := parseKey(text)
		if err != nil {
			return std.Fail(args[0], err)
		}
		keys = append(keys, key{k.first, k.last, k.numeric || o.Has("n"), k.reverse != o.Has("r")})
	}
	if len(keys) == 0 {
		keys = append(keys, key{1, 0, o.Has("n"), o.Has("r")})
	}
	var lines []string
	code := std.Each(args[0], o.Args, func(_ string, r io.Reader) error {
		return eachLine(r, func(line string) error { lines = append(lines, line); return nil })
	})
	lines = sortLines(lines, keys, o)
	out := std.Out
	if name := o.Value('o', ""); name != "" {
		f, err := os.Create(name)
		if err != nil {
			return std.Fail(args[0], err)
		}
		defer f.Close()
		out = f
	}
	buffered := bufio.NewWriter(out)
	for _, line := range lines {
		fmt.Fprintln(buffered, line)
	}
	if err := buffered.Flush(); err != nil {
		return std.Fail(args[0], err)
	}
	return code
}

// sortLines sorts by the keys; equal lines are ordered as a whole, as POSIX says, or dropped with -u.
func sortLines(lines []string, keys []key, o *tool.Options) []string {
	separator := o.Value('t', "")
	byKeys := func(a, b string) int {
		for _, k := range keys {
			if c := k.compare(a, b, separator); c != 0 {
				return c
			}
		}
		return 0
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		c := byKeys(a, b)
		if c == 0 && !o.Has("us") {
			c = strings.Compare(a, b)
			if o.Has("r") {
				c = -c
			}
		}
		return c
	})
	if o.Has("u") {
		lines = slices.CompactFunc(lines, func(a, b string) bool { return byKeys(a, b) == 0 })
	}
	return lines
}

// Uniq drops lines that repeat the one before: uniq [-cdu] [FILE].
func Uniq(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "cdu")
	if err != nil {
		return std.Fail(args[0], err)
	}
	last, count := "", 0
	flush := func() {
		switch {
		case count == 0, o.Has("d") && count == 1, o.Has("u") && count > 1:
		case o.Has("c"):
			fmt.Fprintf(std.Out, "%7d %s\n", count, last)
		default:
			fmt.Fprintln(std.Out, last)
		}
	}
	code := std.Each(args[0], o.Args, func(_ string, r io.Reader) error {
		return eachLine(r, func(line string) error {
			if count == 0 || line != last {
				flush()
				last, count = line, 0
			}
			count++
			return nil
		})
	})
	flush()
	return code
}

// span is a range of places, from 1; last 0 means to the end.
type span struct{ first, last int }

// parseSpans reads a list such as 1,3-5,7-.
func parseSpans(text string) ([]span, error) {
	var spans []span
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		s := span{1, 0}
		var err1, err2 error
		if from != "" {
			s.first, err1 = strconv.Atoi(from)
		}
		switch {
		case !ranged:
			s.last = s.first
		case to != "":
			s.last, err2 = strconv.Atoi(to)
		}
		if err1 != nil || err2 != nil || part == "" || part == "-" || s.first < 1 || s.last != 0 && s.last < s.first {
			return nil, fmt.Errorf("%s: not a list of places", text)
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// pick is the items whose place is in one of the spans.
func pick(items []string, spans []span) []string {
	var picked []string
	for i, item := range items {
		if slices.ContainsFunc(spans, func(s span) bool { return i+1 >= s.first && (s.last == 0 || i+1 <= s.last) }) {
			picked = append(picked, item)
		}
	}
	return picked
}

// Cut prints parts of lines: cut -f LIST [-d C] [-s] [FILE…] or cut -c LIST [FILE…].
func Cut(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "f:c:b:d:s", "fields=f", "delimiter=d", "characters=c")
	if err == nil && !o.Has("fcb") {
		err = fmt.Errorf("which fields? -f LIST or -c LIST")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	spans, err := parseSpans(o.Value('f', o.Value('c', o.Value('b', ""))))
	if err != nil {
		return std.Fail(args[0], err)
	}
	separator := o.Value('d', "\t")
	return std.Each(args[0], o.Args, func(_ string, r io.Reader) error {
		return eachLine(r, func(line string) error {
			switch {
			case !o.Has("f"):
				line = strings.Join(pick(strings.Split(line, ""), spans), "")
			case strings.Contains(line, separator):
				line = strings.Join(pick(strings.Split(line, separator), spans), separator)
			case o.Has("s"):
				return nil
			}
			_, err := fmt.Fprintln(std.Out, line)
			return err
		})
	})
}
