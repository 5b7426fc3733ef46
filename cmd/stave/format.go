// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"unicode"
)

// formatUsage is the help of --format where a table is the default.
const formatUsage = "print by a `template`: table, table TEMPLATE, json, or a Go template such as '{{.ID}}'"

// templateFunctions are the functions that docker gives its templates beside Go's own.
func templateFunctions() template.FuncMap {
	return template.FuncMap{
		"json":     toJSON,
		"split":    strings.Split,
		"join":     strings.Join,
		"title":    title,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"pad":      pad,
		"truncate": truncate,
	}
}

// headingFunctions are the same functions for the line of headings, which they leave as it is.
func headingFunctions() template.FuncMap {
	same := func(heading string) string { return heading }
	return template.FuncMap{
		"json": same, "title": same, "lower": same, "upper": same, "truncate": func(heading string, _ int) string { return heading },
		"join":  func(heading, _ string) string { return heading },
		"split": func(heading, _ string) string { return heading },
		"pad":   pad,
	}
}

// toJSON writes a value on one line, with <, > and & as they are.
func toJSON(v any) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return strings.TrimSpace(out.String()), err
}

// title makes the first letter of each word a capital.
func title(text string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		first := !inside
		inside = r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
		if first {
			return unicode.ToTitle(r)
		}
		return r
	}, text)
}

// pad puts blanks before and behind a text that is not empty.
func pad(text string, before, behind int) (string, error) {
	const most = 1000
	if before < 0 || behind < 0 || before > most || behind > most {
		return "", fmt.Errorf("pad by %d and %d: between 0 and %d blanks", before, behind, most)
	}
	if text == "" {
		return text, nil
	}
	return strings.Repeat(" ", before) + text + strings.Repeat(" ", behind), nil
}

// truncate cuts a text to a number of characters.
func truncate(text string, n int) (string, error) {
	if n < 0 {
		return "", fmt.Errorf("truncate to %d characters", n)
	}
	characters := []rune(text)
	return string(characters[:min(n, len(characters))]), nil
}

// parseTemplate reads a template of the command line, in which \t and \n stand for a tab and a new line.
func parseTemplate(text string) (*template.Template, error) {
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	t, err := template.New("").Funcs(templateFunctions()).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, exitError{codeOwn, fmt.Errorf("--format: %s", strings.TrimPrefix(err.Error(), "template: "))}
	}
	return t, nil
}
