// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// log is the file to which an engine lets a runtime write what goes wrong, a line each, in one of the forms that runc has.
type log struct {
	file   string // "" for none
	format string // text or json
	debug  bool
}

// check refuses a form that is not known, and a file that can't be written.
func (l *log) check() error {
	if l.format != "text" && l.format != "json" {
		return fmt.Errorf("--log-format %q: one of text, json", l.format)
	}
	if l.file == "" {
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

// write adds a line. An error here has nobody to go to: what is written is on its way to standard error, too.
func (l *log) write(level, text string) {
	if l.file == "" {
		return
	}
	f, err := l.open()
	if err != nil {
		return
	}
	defer f.Close()
	now := time.Now().Format(time.RFC3339)
	if l.format == "json" {
		json.NewEncoder(f).Encode(line{level, text, now})
		return
	}
	fmt.Fprintf(f, "time=%q level=%s msg=%q\n", now, level, text)
}

// warn tells of what went wrong and is no reason to end.
func (g globals) warn(text string) {
	fmt.Fprintln(os.Stderr, "stave-oci: warning:", text)
	g.log.write("warning", text)
}
