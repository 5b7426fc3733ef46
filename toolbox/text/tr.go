// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"stave/toolbox/tool"
)

// Tr changes bytes: tr [-c] [-d] [-s] SET1 [SET2]. A set is bytes, ranges (a-z), classes ([:upper:]) and escapes (\n).
func Tr(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "+cCds")
	if err == nil && (len(o.Args) == 0 || len(o.Args) == 1 && !o.Has("ds")) {
		err = fmt.Errorf("usage: tr [-cds] SET1 [SET2]")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	from := expandSet(o.Args[0])
	if o.Has("cC") {
		from = complement(from)
	}
	var to []byte
	if len(o.Args) > 1 {
		to = expandSet(o.Args[1])
	}
	if err := translate(std, from, to, o.Has("d"), o.Has("s")); err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// translate copies standard input to standard output, byte by byte.
func translate(std tool.IO, from, to []byte, drop, squeeze bool) error {
	var table [256]byte
	var in, squeezed [256]bool
	for i := range table {
		table[i] = byte(i)
	}
	for i, b := range from {
		in[b] = true
		if len(to) > 0 && !drop {
			table[b] = to[min(i, len(to)-1)]
		}
	}
	squeezedSet := to
	if len(to) == 0 {
		squeezedSet = from
	}
	for _, b := range squeezedSet {
		squeezed[b] = squeeze
	}
	r, w := bufio.NewReader(std.In), bufio.NewWriter(std.Out)
	last := -1
	for {
		b, err := r.ReadByte()
		if err == io.EOF {
			return w.Flush()
		}
		if err != nil {
			return err
		}
		if drop && in[b] {
			continue
		}
		b = table[b]
		if squeezed[b] && last == int(b) {
			continue
		}
		last = int(b)
		if err := w.WriteByte(b); err != nil {
			return err
		}
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// classes is the named sets.
func classes() *strings.Replacer {
	return strings.NewReplacer("[:upper:]", "A-Z", "[:lower:]", "a-z", "[:digit:]", "0-9", "[:alpha:]", "A-Za-z",
		"[:alnum:]", "A-Za-z0-9", "[:space:]", " \\t\\n\\r\\v\\f", "[:blank:]", " \\t",
		"[:punct:]", "!-/:-@[-`{-~", "[:print:]", " -~", "[:cntrl:]", "\x00-\x1f\x7f", "[:xdigit:]", "0-9A-Fa-f")
}

// expandSet is the bytes of a set, in order.
func expandSet(text string) []byte {
	text = classes().Replace(text)
	var set []byte
	for i := 0; i < len(text); {
		b, n := oneByte(text[i:])
		i += n
		if i+1 < len(text) && text[i] == '-' {
			last, n := oneByte(text[i+1:])
			i += 1 + n
			for c := int(b); c <= int(last); c++ {
				set = append(set, byte(c))
			}
			continue
		}
		set = append(set, b)
	}
	return set
}

// oneByte is the first byte of a text, which may be an escape, and how much of the text it took.
func oneByte(text string) (byte, int) {
	if text[0] != '\\' || len(text) == 1 {
		return text[0], 1
	}
	if i := strings.IndexByte("abtnvfr", text[1]); i >= 0 {
		return "\a\b\t\n\v\f\r"[i], 2
	}
	n, used := 0, 0
	for used < 3 && 1+used < len(text) && text[1+used] >= '0' && text[1+used] <= '7' {
		n = n*8 + int(text[1+used]-'0')
		used++
	}
	if used > 0 {
		return byte(n), 1 + used
	}
	return text[1], 2
}

// complement is every byte that is not in the set.
func complement(set []byte) []byte {
	var in [256]bool
	for _, b := range set {
		in[b] = true
	}
	var rest []byte
	for i := range in {
		if !in[i] {
			rest = append(rest, byte(i))
		}
	}
	return rest
}
