// SPDX-License-Identifier: Apache-2.0

package text

import (
	"strings"
	"testing"
)

// FuzzEvaluate reads any expression: it must end, and ! in front of parentheses turns its value round.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{"", "a", "! a", "a = b", "( a -o b ) -a ! c", "-n x -a -z y", "( ( (", "1 -lt 2 -o x", "! ! !", "-f -o"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		v, err := evaluate(args)
		if err != nil || len(args) < 5 {
			return // fewer arguments are read by their number, so more of them may mean something else
		}
		w, err := evaluate(append(append([]string{"!", "("}, args...), ")"))
		if err == nil && v == w {
			t.Errorf("%q and its negation are both %v", args, v)
		}
	})
}

// FuzzSpans reads any list of cut.
func FuzzSpans(f *testing.F) {
	f.Add("1,3-5,7-")
	f.Fuzz(func(t *testing.T, text string) {
		spans, err := parseSpans(text)
		for _, s := range spans {
			if err == nil && (s.first < 1 || s.last != 0 && s.last < s.first) {
				t.Errorf("%q gives %v", text, s)
			}
		}
	})
}
