// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
)

// section returns the lines of a section of runc's help, those that are indented below its heading.
func section(help, heading string) []string {
	_, after, _ := strings.Cut(help, "\n"+heading+":\n")
	text, _, _ := strings.Cut(after, "\n\n"+"GLOBAL OPTIONS")
	return strings.Split(text, "\n")
}

// flagsIn lists the options that lines of runc's help begin with:
//
//	--format value, -f value  select one of: table or json (default: "table")
//	1               2
func flagsIn(lines []string) (flags []string) {
	for _, line := range lines {
		head, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if !strings.HasPrefix(head, "-") {
			continue
		}
		flags = append(flags, regexp.MustCompile(`(?:^|, )(--?[a-z0-9-]+)`).FindAllString(head, -1)...)
	}
	for i, flag := range flags {
		flags[i] = strings.TrimPrefix(flag, ", ")
	}
	return flags
}

// TestKnowsAllOfRunc reads runc's help: each of its commands and options is one of stave-oci, too, by the help of that.
func TestKnowsAllOfRunc(t *testing.T) {
	witness.Need(t, "command:runc")
	help := func(args ...string) string {
		t.Helper()
		got := run(t, exec.Command(args[0], args[1:]...))
		if got.code != 0 || got.err != "" || got.out == "" {
			t.Fatalf("%v: exit code %d, %q", args, got.code, got.err)
		}
		return got.out
	}
	check := func(name, theirs string, heading string) {
		ours := help(append(append([]string{staveOCI}, strings.Fields(name)...), "--help")...)
		for _, flag := range flagsIn(section(theirs, heading)) {
			if flag == "--help" || flag == "-h" || flag == "--criu" {
				continue // any command has help; criu's path comes with checkpoint
			}
			if !regexp.MustCompile(`(?m)^  ` + flag + ` `).MatchString(ours) {
				t.Errorf("%s: the option %s of runc is missing", name, flag)
			}
		}
	}
	top := help("runc", "--help")
	check("", top, "GLOBAL OPTIONS")
	commands := 0
	for _, line := range section(top, "COMMANDS") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "", "help,", "checkpoint", "restore":
			continue
		}
		commands++
		check(name, help("runc", name, "--help"), "OPTIONS")
	}
	if commands < 14 || len(flagsIn(section(top, "GLOBAL OPTIONS"))) < 8 {
		t.Errorf("only %d commands are in runc's help:\n%s", commands, top)
	}
}

// TestSameKeysAsRunc compares what state and list print of containers in four states with what runc prints.
func TestSameKeysAsRunc(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:runc")
	p := newPair(t, "runc", staveOCI)
	for _, status := range []string{"created", "running", "paused", "stopped"} {
		texts := map[string]string{}
		for program := range p.roots {
			texts[program] = p.run(t, program, "state", status).out
		}
		theirs, ours := keysOf(t, texts["runc"]), keysOf(t, texts[staveOCI])
		if diff := cmp.Diff(slices.Sorted(maps.Keys(theirs)), slices.Sorted(maps.Keys(ours))); diff != "" {
			t.Errorf("%s: keys of state, -runc +stave-oci:\n%s", status, diff)
		}
		if ours[".status"] != status || ours[".id"] != status || (ours[".pid"] == "0") != (theirs[".pid"] == "0") {
			t.Errorf("the state is %v, runc's is %v", ours, theirs)
		}
		if _, err := time.Parse(time.RFC3339Nano, ours[".created"]); err != nil {
			t.Error(err)
		}
	}
	heading := regexp.MustCompile(`\S+`)
	lists, tables := map[string]map[string]string{}, map[string][]string{}
	for program := range p.roots {
		lists[program] = keysOf(t, p.run(t, program, "list", "--format", "json").out)
		table := p.run(t, program, "list").out
		first, _, _ := strings.Cut(table, "\n")
		tables[program] = heading.FindAllString(first, -1)
		if names := strings.Fields(p.run(t, program, "list", "-q").out); !cmp.Equal(len(names), 4) {
			t.Errorf("%s list -q: %q", program, names)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(lists["runc"])), slices.Sorted(maps.Keys(lists[staveOCI]))); diff != "" {
		t.Errorf("keys of list, -runc +stave-oci:\n%s", diff)
	}
	if diff := cmp.Diff(tables["runc"], tables[staveOCI]); diff != "" {
		t.Errorf("heading of list, -runc +stave-oci:\n%s", diff)
	}
}

// TestLogIsRuncs compares the lines that both write of an error, but for its words.
func TestLogIsRuncs(t *testing.T) {
	witness.Need(t, "command:runc")
	dir := folder(t)
	for _, format := range []string{"text", "json"} {
		forms := map[string]string{}
		for _, program := range []string{"runc", staveOCI} {
			file := filepath.Join(dir, filepath.Base(program)+format)
			got := run(t, exec.Command(program, "--root", dir, "--log", file, "--log-format", format, "state", "nobody"))
			if got.code != 1 || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "container does not exist") {
				t.Errorf("%s: exit code %d, %q", program, got.code, got.err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			form := regexp.MustCompile(`container does not exist[^"]*`).ReplaceAllString(string(text), "MESSAGE")
			forms[program] = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`).ReplaceAllString(form, "TIME")
		}
		if diff := cmp.Diff(forms["runc"], forms[staveOCI]); diff != "" || !strings.Contains(forms["runc"], "TIME") {
			t.Errorf("%s: -runc +stave-oci:\n%s", format, diff)
		}
	}
}

// TestLogOnStandardError has no log, or standard error as such: an error is there once, in the form that is asked for.
func TestLogOnStandardError(t *testing.T) {
	for options, want := range map[string]string{
		"": "^stave-oci: container does not exist", "--log /dev/stderr": "^time=.* level=error msg=", "--log-format json": `^{"level":"error"`,
		"--log /dev/stderr --log-format json": `^{"level":"error"`,
	} {
		args := append(strings.Fields(options), "--root", "/nonexistent", "state", "nobody")
		got := run(t, exec.Command(staveOCI, args...))
		if !regexp.MustCompile(want).MatchString(got.err) || strings.Count(got.err, "\n") != 1 || got.code != 1 {
			t.Errorf("%q: exit code %d, %q", options, got.code, got.err)
		}
	}
}

// TestDebug runs a container with and without --debug: every call of both sides is in the log, once, before the container runs.
func TestDebug(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "exit 7")
	for _, debug := range []bool{false, true} {
		file := filepath.Join(folder(t), "log")
		args := []string{"--root", root, "--log", file, "--log-format", "json"}
		if debug {
			args = append(args, "--debug")
		}
		if got := run(t, exec.Command(staveOCI, append(args, "run", "--bundle", dir, "stave-test-debug")...)); got.code != 7 || got.err != "" {
			t.Errorf("exit code %d, %s", got.code, got.err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen, counts := map[string]int{}, map[string]int{}
		for line := range strings.Lines(string(text)) {
			var it struct{ Level, Msg, Time string }
			var side string
			var index, count int
			err := json.Unmarshal([]byte(line), &it)
			if _, e := fmt.Sscanf(it.Msg, "%s call %d of %d:", &side, &index, &count); err != nil || e != nil || it.Level != "debug" {
				t.Fatalf("%q: %v, %v", line, err, e)
			}
			seen[side]++
			counts[side] = count
		}
		if diff := cmp.Diff(counts, seen); diff != "" || (len(seen) == 2) != debug {
			t.Errorf("--debug %v: the sides and their calls, -are +seen:\n%s", debug, diff)
		}
		if want := "execute"; debug && !strings.Contains(string(text), want) {
			t.Errorf("no line has %q", want)
		}
	}
}
