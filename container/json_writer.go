// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// writer writes JSON (RFC 8259), to be read by a [reader].
type writer struct{ out []byte }

// next begins an element: with a comma unless it is the first one.
func (w *writer) next() *writer {
	if last := w.out[len(w.out)-1]; last != '{' && last != '[' {
		w.out = append(w.out, ',')
	}
	return w
}

// member begins a member of an object: its value follows.
func (w *writer) member(name string) *writer {
	w.next().text(name)
	w.out = append(w.out, ':')
	return w
}

// text writes a string. Package encoding/json knows the escapes.
func (w *writer) text(s string) {
	special := func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }
	if strings.ContainsFunc(s, special) {
		quoted, _ := json.Marshal(s) // a string has no reason to fail
		w.out = append(w.out, quoted...)
		return
	}
	w.out = append(append(append(w.out, '"'), s...), '"')
}

// number writes an integer.
func (w *writer) number(n int) { w.out = strconv.AppendInt(w.out, int64(n), 10) }

// flag writes true or false.
func (w *writer) flag(is bool) { w.out = strconv.AppendBool(w.out, is) }

// object writes an object, whose members body writes.
func (w *writer) object(body func()) {
	w.out = append(w.out, '{')
	body()
	w.out = append(w.out, '}')
}

// list writes a list, each element by one.
func (w *writer) list(count int, one func(i int)) {
	w.out = append(w.out, '[')
	for i := range count {
		w.next()
		one(i)
	}
	w.out = append(w.out, ']')
}

// texts writes a list of strings.
func (w *writer) texts(list []string) { w.list(len(list), func(i int) { w.text(list[i]) }) }

// table writes an object with strings, in the order of their names.
func (w *writer) table(table map[string]string) {
	w.object(func() {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			w.member(name).text(table[name])
		}
	})
}
