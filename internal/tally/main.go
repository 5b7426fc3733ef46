// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	_ "embed" // for allowed.txt
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// allowed is the list of reasons to skip that are fine in CI.
//
//go:embed allowed.txt
var allowed string

// errFailed says that a check or a test failed, which has been printed already.
var errFailed = errors.New("something failed")

// main runs the verb and turns its error into an exit code.
func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, errFailed) {
		fmt.Fprintln(os.Stderr, "tally:", err)
	}
	if err != nil {
		os.Exit(1)
	}
}

// run runs one verb.
func run(args []string, out io.Writer) error {
	switch {
	case len(args) >= 4 && (args[0] == "step" || args[0] == "quiet"):
		return step(out, args[1], args[2], args[3:], args[0] == "quiet")
	case len(args) >= 3 && args[0] == "test":
		return tests(out, args[1], args[2:])
	case len(args) >= 2 && args[0] == "sum":
		return sum(out, args[1:], os.Getenv("CI") == "true")
	}
	return errors.New("usage: tally step|quiet FILE NAME COMMAND… | test FILE COMMAND… | sum FILE…")
}

// step runs a check and shows its output only if it failed.
func step(out io.Writer, file, name string, command []string, quiet bool) error {
	began := time.Now()
	cmd := exec.Command(command[0], command[1:]...)
	said, err := cmd.CombinedOutput()
	if err == nil && quiet && len(bytes.TrimSpace(said)) > 0 {
		err = errors.New("it printed something")
	}
	e := event{Action: "pass", Package: "check", Test: name, Elapsed: time.Since(began).Seconds()}
	if err != nil {
		e.Action = "fail"
		fmt.Fprintf(out, "  FAIL  %s: %v\n%s\n", name, err, said)
	} else {
		fmt.Fprintf(out, "  ok    %-40s %24.1fs\n", name, e.Elapsed)
	}
	if saved := save(file, e); saved != nil {
		return saved
	}
	if err != nil {
		return errFailed
	}
	return nil
}

// save adds one event to a file.
func save(file string, e event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// tests runs go test -json, keeps what it prints in a file and reports on it. Tests that failed, if they are few, are tried
// once more by themselves: the sum names those that pass then.
func tests(out io.Writer, file string, command []string) error {
	r, err := goTest(out, file, command)
	next := r.secondTry(command)
	if err == nil || len(next) == 0 {
		return err
	}
	fmt.Fprintln(out, "  once more, what failed:")
	for key, result := range r.results {
		if result.action == "fail" {
			if err := save(file, event{Action: again, Package: key.pkg, Test: key.name}); err != nil {
				return err
			}
		}
	}
	var failed error
	for _, command := range next {
		_, err := goTest(out, file, command)
		failed = errors.Join(failed, err)
	}
	return failed
}

// goTest runs one command.
func goTest(out io.Writer, file string, command []string) (*record, error) {
	r := newRecord()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return r, err
	}
	defer f.Close()
	cmd := exec.Command(command[0], command[1:]...)
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	cmd.Stderr = cmd.Stdout // one stream: its lines are told apart by their form
	if err := cmd.Start(); err != nil {
		return r, err
	}
	bad := r.read(io.TeeReader(stream, f), func(e event) { r.report(out, e) }, func(s string) { fmt.Fprint(out, s) })
	exit := cmd.Wait()
	if exit != nil && r.count("")["fail"] == 0 { // the go command itself failed: count that, too
		fmt.Fprintf(out, "  FAIL  %v: %v\n", command, exit)
		bad = errors.Join(bad, save(file, event{Action: "fail", Package: "go test", Output: exit.Error()}))
	}
	if bad != nil || exit != nil {
		return r, errors.Join(errFailed, bad)
	}
	return r, nil
}
