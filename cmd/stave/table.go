// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

// listing is what a command lists: the fields of a row, with their headings, and the ways to print rows.
type listing struct {
	// headings are those of the fields that templates may name.
	headings row
	// table is the template of the table that is printed without --format, quiet that of -q.
	table, quiet string
}

// row is one line of a listing: its fields by the names that templates use.
type row map[string]string

// MarshalJSON writes a row with its fields in the order of their names, and with <, > and & as docker has them: escaped.
func (r row) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string(r))
}

// print prints rows by the format of the command line; "" is a table.
func (l listing) print(w io.Writer, format string, quiet bool, rows []row) error {
	text, isTable := strings.CutPrefix(format, "table")
	text = strings.TrimSpace(text)
	switch {
	case format == "" || isTable && text == "":
		text, isTable = l.table, true
		if quiet {
			text, isTable = l.quiet, false
		}
	case format == "json":
		text = "{{json .}}"
	case !isTable:
		text = strings.TrimSpace(format)
	}
	t, err := parseTemplate(text)
	if err != nil {
		return err
	}
	if isTable {
		return l.printTable(w, t, rows)
	}
	return printRows(w, t, rows)
}

// printTable prints rows below their headings, in columns three blanks apart.
func (l listing) printTable(w io.Writer, t *template.Template, rows []row) error {
	whole := bufio.NewWriter(w) // columns are written cell by cell
	columns := tabwriter.NewWriter(whole, 10, 1, 3, ' ', 0)
	heading, err := t.Clone()
	if err != nil {
		return err
	}
	if err := printRows(columns, heading.Funcs(headingFunctions()), []row{l.headings}); err != nil {
		return err
	}
	if err := printRows(columns, t, rows); err != nil {
		return err
	}
	return errors.Join(columns.Flush(), whole.Flush())
}

// printRows prints one line for each row; nothing is printed where the template fails for one of them.
func printRows(w io.Writer, t *template.Template, rows []row) error {
	var lines bytes.Buffer
	for _, r := range rows {
		if err := t.Execute(&lines, r); err != nil {
			return exitError{codeFailed, fmt.Errorf("--format: %s", strings.TrimPrefix(err.Error(), "template: "))}
		}
		lines.WriteByte('\n')
	}
	_, err := w.Write(lines.Bytes())
	return err
}
