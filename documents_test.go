// SPDX-License-Identifier: Apache-2.0

package stave

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// records is the folder of the decision records.
const records = "lessons/decisions"

// checkLengths measures the documents that are to be read in one go.
func checkLengths(t tree) []string {
	var found []string
	for _, file := range t.names {
		limit := 0
		switch {
		case file == "CONTRIBUTING.md":
			limit = 60
		case path.Dir(file) == records && path.Ext(file) == ".md":
			limit = 40
		}
		if n := lines(t.read(file)); limit > 0 && n > limit {
			found = append(found, fmt.Sprintf("%s: has %d lines, at most %d", file, n, limit))
		}
	}
	return found
}

// checkLinks follows the links of Markdown files to files and headings of the repository. Links with a scheme, such
// as https, are left alone: the checks need no network.
func checkLinks(t tree) []string {
	link := regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)[^)]*\)`)
	var found []string
	for _, file := range t.names {
		if path.Ext(file) != ".md" {
			continue
		}
		for i, line := range prose(t.read(file)) {
			for _, match := range link.FindAllStringSubmatch(line, -1) {
				if why := t.broken(file, match[1]); why != "" {
					found = append(found, fmt.Sprintf("%s:%d: link to %s: %s", file, i+1, match[1], why))
				}
			}
		}
	}
	return found
}

// prose is a Markdown text by lines, with what is quoted as code blanked out.
func prose(text string) []string {
	code := regexp.MustCompile("`[^`]*`")
	fenced := false
	all := strings.Split(text, "\n")
	for i, line := range all {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			all[i] = ""
		}
		if fenced {
			all[i] = ""
		}
		all[i] = code.ReplaceAllString(all[i], "``")
	}
	return all
}

// broken says why a link of a file leads nowhere, or nothing.
func (t tree) broken(file, link string) string {
	if regexp.MustCompile(`^[a-z]+:`).MatchString(link) {
		return ""
	}
	target, heading, _ := strings.Cut(link, "#")
	if target == "" {
		target = path.Base(file)
	}
	target = path.Join(path.Dir(file), target)
	if _, err := fs.Stat(t.files, target); err != nil {
		return "no such file"
	}
	if heading != "" && path.Ext(target) == ".md" && !t.hasHeading(target, heading) {
		return "no such heading"
	}
	return ""
}

// hasHeading looks for a heading by the name that web pages give it: lower case, blanks as hyphens, the rest left out.
func (t tree) hasHeading(file, heading string) bool {
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	inFence := false
	for line := range strings.Lines(t.read(file)) {
		if strings.HasPrefix(line, "```") {
			inFence = !inFence
		}
		text, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !inFence && is && strings.HasPrefix(line, "#") {
			text = dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
			if strings.ReplaceAll(text, " ", "-") == heading {
				return true
			}
		}
	}
	return false
}

// checkDependencies wants one line in the record of dependencies for each direct module of go.mod, and none for others.
func checkDependencies(t tree) []string {
	const record = records + "/0004-dependencies.md"
	wanted := directModules(t.read("go.mod"))
	var found []string
	for line := range strings.Lines(t.read(record)) {
		rest, is := strings.CutPrefix(line, "- `")
		if !is {
			continue
		}
		module, reason, _ := strings.Cut(rest, "`")
		switch {
		case !wanted[module]:
			found = append(found, fmt.Sprintf("%s: %s is not a direct module of go.mod, or is there twice", record, module))
		case len(strings.Fields(reason)) < 4:
			found = append(found, fmt.Sprintf("%s: %s has no reason", record, module))
		}
		delete(wanted, module)
	}
	for module := range wanted {
		found = append(found, fmt.Sprintf("%s: no line that starts with - `%s`", record, module))
	}
	return found
}

// directModules are the modules that a go.mod requires without "// indirect".
func directModules(text string) map[string]bool {
	modules := map[string]bool{}
	block := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "require" && fields[1] == "(":
			block = true
		case len(fields) == 1 && fields[0] == ")":
			block = false
		case len(fields) >= 2 && (block || fields[0] == "require") && !strings.HasSuffix(strings.TrimSpace(line), "// indirect"):
			if !block {
				fields = fields[1:]
			}
			modules[fields[0]] = true
		}
	}
	return modules
}

// documentExamples are the checks of this file.
func documentExamples() map[string]example {
	return map[string]example{
		"lengths": {
			check: checkLengths,
			bad:   "-- CONTRIBUTING.md --\n" + strings.Repeat("line\n", 61) + "-- lessons/decisions/0009-x.md --\n" + strings.Repeat("line\n", 41) + "-- lessons/long.md --\n" + strings.Repeat("line\n", 99),
			finds: []string{"CONTRIBUTING.md: has 61", "0009-x.md: has 41"},
		},
		"links": {check: checkLinks, bad: `
-- README.md --
# The Title, here
[gone](gone.md) [there](docs/a.md) [web](https://example.org/x)
[up](#the-title-here) [down](#nowhere) [part](docs/a.md#part-2) [no part](docs/a.md#part-3)
` + "`[code](nowhere.md)`\n```\n[fenced](nowhere.md)\n```\n" + `
-- docs/a.md --
## Part 2
[back](../README.md) [wrong](README.md "with a title")
`, finds: []string{"README.md:2: link to gone.md: no such file", "README.md:3: link to #nowhere: no such heading", "README.md:3: link to docs/a.md#part-3", "docs/a.md:2: link to README.md: no such file"}},
		"dependencies": {check: checkDependencies, bad: `
-- go.mod --
module x
require (
	example.org/told v1.0.0
	example.org/hidden v1.0.0 // indirect
	example.org/bare v1.0.0
)
require example.org/single v1.0.0
-- lessons/decisions/0004-dependencies.md --
- ` + "`example.org/told`: there is a reason here\n- `example.org/bare`\n- `example.org/old`: it was used once before\n", finds: []string{
			"example.org/bare has no reason",
			"example.org/old is not a direct module",
			"no line that starts with - `example.org/single`",
		}},
	}
}
