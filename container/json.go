// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// reader reads JSON (RFC 8259) as programs write it. What is not usual it calls odd, and gives up: a member that it was
// not told of, or comes twice; a null, a fraction, a mistake. What it does read, [json.Unmarshal] reads in the same way.
type reader struct {
	text string
	at   int  // the next byte
	odd  bool // nothing that was read is worth anything
}

// reading reads one value to where it belongs. Those that follow make one for a kind of value.
type reading func(r *reader)

// readUsual reads a text, unless it is odd.
func readUsual(data []byte, read reading) bool {
	r := &reader{text: string(data), odd: !utf8.Valid(data)}
	read(r)
	r.peek()
	return !r.odd && r.at == len(r.text)
}

// member is a member of an object.
type member struct {
	name string
	read reading
}

// readObject reads an object that has some of the members.
func readObject(members ...member) reading {
	return func(r *reader) {
		r.named(func(name string) {
			for i, m := range members {
				if m.name == name && m.read != nil {
					m.read(r)
					members[i].read = nil // it comes once
					return
				}
			}
			r.odd = true
		})
	}
}

// readTable reads an object that has any members, all of one kind.
func readTable[T any](to *map[string]T, kind func(*T) reading) reading {
	return func(r *reader) {
		*to = map[string]T{}
		r.named(func(name string) {
			var one T
			kind(&one)(r)
			(*to)[name] = one
		})
	}
}

// readList reads an array.
func readList[T any](to *[]T, kind func(*T) reading) reading {
	return func(r *reader) {
		*to = []T{}
		r.each('[', ']', func() {
			var one T
			kind(&one)(r)
			*to = append(*to, one)
		})
	}
}

// readOptional reads what may be left out.
func readOptional[T any](to **T, kind func(*T) reading) reading {
	return func(r *reader) {
		*to = new(T)
		kind(*to)(r)
	}
}

// readText reads a string.
func readText[T ~string](to *T) reading { return func(r *reader) { *to = T(r.string()) } }

// readFlag reads true or false.
func readFlag(to *bool) reading {
	return func(r *reader) {
		word := r.word("aeflrstu")
		*to = word == "true"
		r.odd = r.odd || !*to && word != "false"
	}
}

// readNumber reads an integer.
func readNumber[T ~int | ~int64 | ~uint | ~uint32 | ~uint64](to *T) reading {
	return func(r *reader) {
		word := r.word("-0123456789.eE+")
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			*to = T(n)
		} else if n, err := strconv.ParseUint(word, 10, 64); err == nil {
			*to = T(n)
		}
		back := strconv.FormatUint(uint64(*to), 10)
		if *to < 0 {
			back = strconv.FormatInt(int64(*to), 10)
		}
		r.odd = r.odd || back != word // too large a number, or another way to write it
	}
}

// peek passes over white space and returns the byte behind it, 0 at the end or after something odd.
func (r *reader) peek() byte {
	for ; r.at < len(r.text) && !r.odd; r.at++ {
		if c := r.text[r.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// take passes over one sign, if it comes next.
func (r *reader) take(sign byte) bool {
	comes := r.peek() == sign
	if comes {
		r.at++
	}
	return comes
}

// must passes over one sign.
func (r *reader) must(sign byte) { r.odd = !r.take(sign) || r.odd }

// each reads what stands between two brackets, with commas in between.
func (r *reader) each(first, last byte, one func()) {
	if r.must(first); r.take(last) || r.odd {
		return
	}
	for one(); r.take(','); {
		one()
	}
	r.must(last)
}

// named reads an object, each value by one.
func (r *reader) named(one func(name string)) {
	r.each('{', '}', func() {
		name := r.string()
		r.must(':')
		one(name)
	})
}

// word passes over bytes that are among some, and returns them.
func (r *reader) word(some string) string {
	r.peek()
	start := r.at
	for r.at < len(r.text) && strings.IndexByte(some, r.text[r.at]) >= 0 {
		r.at++
	}
	return r.text[start:r.at]
}

// string reads a string. It is a part of the text, unless there are escapes in it.
func (r *reader) string() (s string) {
	r.must('"')
	start, escaped := r.at, false
	for ; r.at < len(r.text) && r.text[r.at] != '"'; r.at++ {
		switch c := r.text[r.at]; {
		case c < ' ':
			r.odd = true
		case c == '\\':
			escaped = true
			r.at++ // what follows is no end
		}
	}
	s = r.text[start:min(r.at, len(r.text))]
	r.must('"')
	if escaped {
		r.odd = r.odd || json.Unmarshal([]byte(`"`+s+`"`), &s) != nil
	}
	return s
}
