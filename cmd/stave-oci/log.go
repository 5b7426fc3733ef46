// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"stave/container"
)

// log is the file to which an engine lets a runtime write what goes wrong, a line each, in one of the forms that runc has.
type log struct {
	file   string // "" for none
	format string // text or json
	debug  bool
}

// stderr is the file in which the lines are for people's eyes too.
const stderr = "/dev/stderr"

// check refuses a form that is not known, and a file that can't be written.
func (l *log) check() error {
	if l.format != "text" && l.format != "json" {
		return fmt.Errorf("--log-format %q: one of text, json", l.format)
	}
	if l.file == "" || l.file == stderr {
		return nil
	}
	f, err := l.open()
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	return f.Close()
}

// open opens the file at its end.
func (l *log) open() (*os.File, error) {
	return os.OpenFile(l.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_SYNC, 0o644)
}

// line is one line of the JSON form.
type line struct {
	Level string `json:"level"`
	Msg   string `json:"msg"`
	Time  string `json:"time"`
}

// text is the line's text form: a value with other characters than those of names is quoted.
func (l line) text() string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+"
	msg := l.Msg
	if strings.Trim(msg, plain) != "" {
		msg = strconv.Quote(msg)
	}
	return fmt.Sprintf("time=%q level=%s msg=%s\n", l.Time, l.Level, msg)
}

// write adds a line. An error here has nobody to go to: what is written is on its way to standard error, too.
func (l *log) write(level, text string) {
	f, err := os.Stderr, error(nil)
	if l.file != stderr && l.file != "" {
		if f, err = l.open(); err != nil {
			return
		}
		defer f.Close()
	}
	it := line{level, text, time.Now().Format(time.RFC3339)}
	if l.format == "json" {
		json.NewEncoder(f).Encode(it)
		return
	}
	f.WriteString(it.text())
}

// lines tells whether standard error gets the lines of the log, and nothing else: where it is the log, or where there is no
// other and the form is one for programs.
func (l *log) lines() bool { return l.file == stderr || l.file == "" && l.format == "json" }

// say prints a text on standard error and writes it into the log, once where both are the same.
func (l *log) say(level, prefix, text string) {
	if !l.lines() {
		fmt.Fprintln(os.Stderr, prefix, text)
	}
	if l.file != "" || l.lines() {
		l.write(level, text)
	}
}

// report tells of an error, which ends the program.
func (g globals) report(err error) { g.log.say("error", "stave-oci:", err.Error()) }

// warn tells of what went wrong and is no reason to end.
func (g globals) warn(text string) { g.log.say("warning", "stave-oci: warning:", text) }

// planned writes down each kernel call that is planned, nil without --debug. Without --log they go to standard error.
func (l *log) planned() func(container.Step) {
	if !l.debug {
		return nil
	}
	return func(s container.Step) { l.write("debug", s.String()) }
}
