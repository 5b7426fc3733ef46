// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// report prints what a person wants to see of an event: a line when a package is done, and the output of what failed.
func (r *record) report(out io.Writer, e event) {
	key := test{e.Package, e.Test}
	if e.Action == "fail" {
		r.showFailure(out, key)
	}
	if e.Test != "" || (e.Action != "pass" && e.Action != "fail") {
		return
	}
	word, n := "ok  ", r.count(e.Package)
	if e.Action == "fail" {
		word = "FAIL"
	}
	counts := fmt.Sprintf("%d passed", n["pass"])
	if n["fail"] > 0 {
		counts += fmt.Sprintf(", %d failed", n["fail"])
	}
	if n["skip"] > 0 {
		counts += fmt.Sprintf(", %d skipped", n["skip"])
	}
	if covered := coverage(r.output[key]); covered != "" {
		counts += ", " + covered
	}
	fmt.Fprintf(out, "  %s  %-32s %-26s %5.1fs\n", word, e.Package, counts, e.Elapsed)
}

// coverage is what the testing package says of a package's coverage: "81.2% covered", or nothing. Its line is
//
//	coverage: 81.2% of statements
func coverage(output string) string {
	for line := range strings.Lines(output) {
		rest, ok := strings.CutPrefix(line, "coverage: ")
		if share, _, found := strings.Cut(rest, " of statements"); ok && found {
			return share + " covered"
		}
	}
	return ""
}

// showFailure prints the output of a test that failed; for a package, also what its build said.
func (r *record) showFailure(out io.Writer, key test) {
	for name, output := range r.output {
		built, _, _ := strings.Cut(name.pkg, " [") // "stave/kernel [stave/kernel.test]": the package with its tests
		if name == key || (key.name == "" && name.name == "" && built == key.pkg) {
			fmt.Fprint(out, indent(output))
		}
	}
}

// indent moves a text to the right, so that the lines of packages stand out.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("        " + line)
	}
	return b.String()
}

// sum adds up files of events and prints the skips by reason, what failed, and the last line. In CI a skip fails
// unless its reason is on the list.
func sum(out io.Writer, names []string, ci bool) error {
	total := newRecord()
	for _, name := range names {
		if err := total.addFile(name); err != nil {
			fmt.Fprintf(out, "  FAIL  %v\n", err)
			total.results[test{name, ""}] = result{action: "fail"}
		}
	}
	for key, result := range total.results {
		if ci && result.action == "skip" && !fine(result.reason, allowed) {
			fmt.Fprintf(out, "  FAIL  %s %s: skipped in CI, for a reason that is not allowed there: %s\n", key.pkg, key.name, result.reason)
			result.action = "fail"
			total.results[key] = result
		}
	}
	total.list(out)
	n := total.count("")
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", n["pass"], n["fail"], n["skip"])
	if n["fail"] > 0 {
		return errFailed
	}
	return nil
}

// addFile adds the results of one file of events to those of others.
func (r *record) addFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	own := newRecord()
	if err := own.read(f, func(event) {}, func(string) {}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for key, result := range own.results {
		r.merge(key, result)
	}
	for key := range own.second {
		r.second[key] = true
	}
	return nil
}

// list prints the failures by name and the skips by reason.
func (r *record) list(out io.Writer) {
	var failed []string
	skips := map[string]int{}
	for key, result := range r.results {
		switch result.action {
		case "fail":
			failed = append(failed, strings.TrimSpace(key.pkg+" "+key.name))
		case "skip":
			skips[result.reason]++
		}
	}
	var skipped []string
	for reason, n := range skips {
		skipped = append(skipped, fmt.Sprintf("%4d skipped: %s", n, reason))
	}
	slices.Sort(failed)
	slices.Sort(skipped)
	for _, line := range skipped {
		fmt.Fprintln(out, line)
	}
	for _, name := range failed {
		fmt.Fprintln(out, "     failed:", name)
	}
	for _, name := range r.shaky() {
		fmt.Fprintln(out, "     passed only at the second try:", name)
	}
}

// shaky lists the tests that failed and then passed.
func (r *record) shaky() []string {
	var names []string
	for key := range r.second {
		if r.results[key].action == "pass" {
			names = append(names, key.pkg+" "+key.name)
		}
	}
	slices.Sort(names)
	return names
}

// fine says whether a reason starts with a line of the list. Empty lines and comments (#) say nothing.
func fine(reason, list string) bool {
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && strings.HasPrefix(reason, line) {
			return true
		}
	}
	return false
}
