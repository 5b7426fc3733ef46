// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lastLine is the last line of a text.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// TestSum adds up files of events.
func TestSum(t *testing.T) {
	const skip = `{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:3: needs root: run make root\n"}
{"Action":"skip","Package":"p","Test":"A"}
`
	const odd = `{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:3: no time today\n"}
{"Action":"skip","Package":"p","Test":"B"}
`
	cases := map[string]struct {
		files []string
		ci    bool
		want  string
	}{
		"skipped here, passed there": {files: []string{skip, `{"Action":"pass","Package":"p","Test":"A"}`}, want: "1 passed, 0 failed, 0 skipped"},
		"passed here, failed there":  {files: []string{`{"Action":"pass","Package":"p","Test":"A"}`, `{"Action":"fail","Package":"p","Test":"A"}`}, want: "0 passed, 1 failed, 0 skipped"},
		"allowed skip in CI":         {files: []string{skip}, ci: true, want: "0 passed, 0 failed, 1 skipped"},
		"odd skip at home":           {files: []string{odd}, want: "0 passed, 0 failed, 1 skipped"},
		"odd skip in CI":             {files: []string{odd}, ci: true, want: "0 passed, 1 failed, 0 skipped"},
		"no reason in CI":            {files: []string{`{"Action":"skip","Package":"p","Test":"C"}`}, ci: true, want: "0 passed, 1 failed, 0 skipped"},
		"package without tests":      {files: []string{`{"Action":"skip","Package":"p"}`}, ci: true, want: "0 passed, 0 failed, 0 skipped"},
		"package fails alone": {files: []string{`{"Action":"pass","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}`}, want: "1 passed, 1 failed, 0 skipped"},
		"package fails with a test": {files: []string{`{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}`}, want: "0 passed, 1 failed, 0 skipped"},
		"cut off": {files: []string{`{"Action":"pass","Package":"p","Te`}, want: "0 passed, 1 failed, 0 skipped"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for i, text := range c.files {
				path := filepath.Join(t.TempDir(), string(rune('a'+i)))
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, path)
			}
			var out bytes.Buffer
			err := sum(&out, paths, c.ci)
			if lastLine(out.String()) != c.want || (err != nil) == strings.Contains(c.want, " 0 failed") {
				t.Errorf("error %v, want %q:\n%s", err, c.want, &out)
			}
		})
	}
}

// TestMissingFile counts a tier that wrote nothing as a failure.
func TestMissingFile(t *testing.T) {
	var out bytes.Buffer
	err := sum(&out, []string{filepath.Join(t.TempDir(), "none")}, false)
	if !errors.Is(err, errFailed) || lastLine(out.String()) != "0 passed, 1 failed, 0 skipped" {
		t.Errorf("%v:\n%s", err, &out)
	}
}

// TestVerbs runs commands and looks at the verdict and at the file of events.
func TestVerbs(t *testing.T) {
	failing := `echo '{"Action":"output","Package":"p","Test":"T","Output":"it broke"}
{"Action":"fail","Package":"p","Test":"T"}
{"Action":"fail","Package":"p"}'; exit 1`
	cases := map[string]struct {
		args  []string
		says  string
		total string
	}{
		"step that passes":  {[]string{"step", "FILE", "x", "echo", "words"}, "ok    x", "1 passed, 0 failed, 0 skipped"},
		"step that fails":   {[]string{"step", "FILE", "x", "sh", "-c", "echo why; exit 2"}, "why", "0 passed, 1 failed, 0 skipped"},
		"quiet and silent":  {[]string{"quiet", "FILE", "x", "true"}, "ok    x", "1 passed, 0 failed, 0 skipped"},
		"quiet and not":     {[]string{"quiet", "FILE", "x", "echo", "a diff"}, "a diff", "0 passed, 1 failed, 0 skipped"},
		"command not there": {[]string{"step", "FILE", "x", "./no-such-command"}, "FAIL", "0 passed, 1 failed, 0 skipped"},
		"tests that fail":   {[]string{"test", "FILE", "sh", "-c", failing}, "it broke", "0 passed, 1 failed, 0 skipped"},
		"go test says no":   {[]string{"test", "FILE", "sh", "-c", "exit 1"}, "exit status 1", "0 passed, 1 failed, 0 skipped"},
		"tests that pass": {[]string{"test", "FILE", "echo", `{"Action":"pass","Package":"p","Test":"T"}
{"Action":"pass","Package":"p"}`}, "ok    p", "1 passed, 0 failed, 0 skipped"},
		"words instead of it": {[]string{"test", "FILE", "sh", "-c", "echo no packages; exit 1"}, "packages", "0 passed, 1 failed, 0 skipped"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "events")
			c.args[1] = file
			var out, total bytes.Buffer
			err := run(c.args, &out)
			if (err == nil) != strings.Contains(c.total, " 0 failed") || !strings.Contains(out.String(), c.says) {
				t.Errorf("error %v; output without %q:\n%s", err, c.says, &out)
			}
			if sum(&total, []string{file}, false); lastLine(total.String()) != c.total {
				t.Errorf("sum %q, want %q", lastLine(total.String()), c.total)
			}
		})
	}
}

// TestSecondTry runs tests that fail at first. One that passes then is named, one that does not fails; and where too much
// failed, or something beside the tests, there is no second try.
func TestSecondTry(t *testing.T) {
	// The command fails the tests that are named by its first arguments, and with -run only those that begin with Bad.
	const script = `for a; do case $a in -run) run=1;; esac; done; code=0
for a; do case $a in Good*|Bad*) name=$a; pass=; [ "$run" ] && case $a in Good*) pass=1;; esac
if [ "$pass" ]; then echo '{"Action":"pass","Package":"stave/p","Test":"'$name'"}'; else code=1; echo '{"Action":"fail","Package":"stave/p","Test":"'$name'"}'; fi;;
Panic) code=1; echo '{"Action":"fail","Package":"stave/p"}';; esac; done; exit $code`
	for name, c := range map[string]struct {
		tests, want, says string
	}{
		"passes then":   {"Good", "1 passed, 0 failed, 0 skipped", "passed only at the second try: stave/p Good"},
		"fails again":   {"Bad", "0 passed, 1 failed, 0 skipped", "failed: stave/p Bad"},
		"both":          {"Good Bad", "1 passed, 1 failed, 0 skipped", "passed only at the second try: stave/p Good"},
		"too many":      {"Good1 Good2 Good3 Good4 Good5 Good6", "0 passed, 6 failed, 0 skipped", "failed: stave/p Good6"},
		"package fails": {"Panic", "0 passed, 1 failed, 0 skipped", "failed: stave/p"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "events")
			command := append([]string{"test", file, "sh", "-c", script, "sh"}, strings.Fields(c.tests)...)
			var out, total bytes.Buffer
			err := run(append(command, "stave/p", "./p"), &out)
			sum(&total, []string{file}, true)
			if lastLine(total.String()) != c.want || !strings.Contains(total.String(), c.says) || (err == nil) != strings.Contains(c.want, " 0 failed") {
				t.Errorf("%v, want %q:\n%s%s", err, c.want, &out, &total)
			}
		})
	}
}

// TestUsage refuses what it does not know.
func TestUsage(t *testing.T) {
	if err := run([]string{"count"}, os.Stdout); err == nil || errors.Is(err, errFailed) {
		t.Errorf("got %v", err)
	}
}

// TestCoverage shows a package's coverage in its line, and nothing where none was counted.
func TestCoverage(t *testing.T) {
	for output, want := range map[string]string{
		"PASS\ncoverage: 81.2% of statements\nok\n": "1 passed, 81.2% covered ",
		"PASS\ncoverage: [no statements]\nok\n":     "1 passed  ",
		"PASS\nok\n":                                "1 passed  ",
	} {
		r := newRecord()
		r.add(event{Action: "pass", Package: "p", Test: "T"})
		r.add(event{Action: "output", Package: "p", Output: output})
		var out bytes.Buffer
		r.report(&out, event{Action: "pass", Package: "p"})
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q: %q, want %q", output, out.String(), want)
		}
	}
}
