// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// event is one line of go test -json. A build that fails has ImportPath and the actions build-output and build-fail.
type event struct {
	Action     string
	Package    string
	ImportPath string  `json:",omitempty"`
	Test       string  `json:",omitempty"` // empty: the event is about the package
	Elapsed    float64 `json:",omitempty"` // seconds
	Output     string  `json:",omitempty"`
}

// test names a test, or a package when the second part is empty.
type test struct{ pkg, name string }

// result is how a test ended: with the action "pass", "fail" or "skip", and for a skip why.
type result struct{ action, reason string }

// record gathers events. Output is kept until it is known whether anybody has to see it.
type record struct {
	results map[test]result
	output  map[test]string
	second  map[test]bool // tried for the second time
}

// again is the action of our own that comes before a second try of a test that failed.
const again = "again"

// newRecord returns an empty record.
func newRecord() *record {
	return &record{results: map[test]result{}, output: map[test]string{}, second: map[test]bool{}}
}

// add takes one event in. A package counts only if it failed and none of its tests did: a panic, a build that failed,
// or something that the witness found.
func (r *record) add(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.output[key] += e.Output
	case "build-output":
		r.output[test{e.ImportPath, ""}] += e.Output
	case again:
		delete(r.results, key)
		r.second[key] = true
	case "pass", "fail", "skip":
		if e.Test == "" && (e.Action != "fail" || r.count(e.Package)["fail"] > 0) {
			return
		}
		r.merge(key, result{e.Action, reason(r.output[key])})
	}
}

// merge keeps the weightier of two results of a test: fail, then pass, then skip.
func (r *record) merge(key test, now result) {
	weight := map[string]int{"skip": 1, "pass": 2, "fail": 3}
	if weight[now.action] > weight[r.results[key].action] {
		r.results[key] = now
	}
}

// count counts the results of a package by action, or of all packages when the name is empty.
func (r *record) count(pkg string) map[string]int {
	sum := map[string]int{}
	for key, result := range r.results {
		if pkg == "" || key.pkg == pkg {
			sum[result.action]++
		}
	}
	return sum
}

// read adds all events of a stream, one on each line, and calls seen after each. Lines that are no events, such as what
// the go command says while it downloads a module, are handed to other.
func (r *record) read(stream io.Reader, seen func(event), other func(string)) error {
	lines := bufio.NewReader(stream)
	for {
		line, end := lines.ReadString('\n')
		if strings.HasPrefix(line, "{") {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return fmt.Errorf("event %q: %w", line, err)
			}
			r.add(e)
			seen(e)
		} else if line != "" {
			other(line)
		}
		if end == io.EOF {
			return nil
		}
		if end != nil {
			return end
		}
	}
}

// reason is what a test said when it skipped: the last line of its output that the testing package marked with a file
// and a line number.
func reason(output string) string {
	marked := regexp.MustCompile(`(?m)^\s*\S+\.go:\d+: (.*)$`)
	all := marked.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return "no reason given"
	}
	return strings.TrimSpace(all[len(all)-1][1])
}
