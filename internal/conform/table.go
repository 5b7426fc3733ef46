// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table says what runtimes reach: the score, as text, by column ("legacy/runc") and file.
type table map[string]map[string]string

// parseTable reads a table. Its first line that is no comment names the columns; a cell "." is not known:
//
//	file       legacy/runc  legacy/crun
//	create     +4           +4
//	delete     -3/5         .
func parseTable(text string) (table, error) {
	all := table{}
	var columns []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case columns == nil:
			columns = words[1:]
		case len(words) != len(columns)+1:
			return nil, fmt.Errorf("line %q: %d cells for %d columns", line, len(words)-1, len(columns))
		default:
			for i, cell := range words[1:] {
				if cell != "." {
					all.set(columns[i], words[0], cell)
				}
			}
		}
	}
	return all, nil
}

// set enters one score.
func (a table) set(column, file, cell string) {
	if a[column] == nil {
		a[column] = map[string]string{}
	}
	a[column][file] = cell
}

// owed says whether a runtime has to pass a file in a layout: a peer does. If the file is about cgroups that means in the
// same layout, or, where both versions are seen, with version 1 alone, which crun needs; other files depend on the
// machine, and the one of the layout unified has capabilities that others lack.
func (a table) owed(shown layout, file string) bool {
	if declined(file) != "" {
		return false
	}
	for column := range a {
		where, _, _ := strings.Cut(column, "/")
		comparable := where == string(shown) || shown == hybrid && where == string(legacy)
		if !aboutCgroups(file) {
			comparable = comparable || where != string(unified)
		}
		if comparable && strings.HasPrefix(a[column][file], "+") {
			return true
		}
	}
	return false
}

// declined says why a file is not owed although a peer passes it, or nothing.
func declined(file string) string {
	if file == "poststart_fail" {
		return "since version 1.2 of the specification a poststart hook that fails is an error that ends the container, no longer a warning"
	}
	return ""
}

// aboutCgroups says whether a file of the validation makes cgroups of its own and looks at them.
func aboutCgroups(file string) bool {
	return strings.Contains(file, "cgroups") || strings.Contains(file, "resources")
}

// String is the table as parseTable reads it.
func (a table) String() string {
	columns := slices.Sorted(maps.Keys(a))
	files := map[string]bool{}
	for _, column := range a {
		for file := range column {
			files[file] = true
		}
	}
	var b strings.Builder
	row := func(first string, cell func(column string) string) {
		fmt.Fprintf(&b, "%-32s", first)
		for _, column := range columns {
			fmt.Fprintf(&b, " %-13s", cell(column))
		}
		text := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(text + "\n")
	}
	row("file", func(column string) string { return column })
	for _, file := range slices.Sorted(maps.Keys(files)) {
		row(file, func(column string) string {
			if cell := a[column][file]; cell != "" {
				return cell
			}
			return "."
		})
	}
	return b.String()
}
