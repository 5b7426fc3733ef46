// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// complete is the Tab key: it completes the word before the cursor, as a command at the start of a line and as a file
// name elsewhere. What can't be decided is listed.
func (s *Shell) complete(w io.Writer, line string, pos int) (string, int, bool) {
	start := strings.LastIndexAny(line[:pos], " \t;|&<>(") + 1
	word := line[start:pos]
	first := strings.Trim(line[:start], " \t") == "" || strings.ContainsAny(lastByte(strings.TrimRight(line[:start], " ")), ";|&(")
	var found []string
	if first && !strings.Contains(word, "/") {
		found = s.commands(word)
	} else {
		found = s.fileNames(word)
	}
	if len(found) == 0 {
		return line, pos, true
	}
	full := commonPrefix(found)
	if len(found) == 1 && !strings.HasSuffix(full, "/") {
		full += " "
	}
	if full == word {
		names := make([]string, len(found))
		for i, f := range found {
			names[i] = filepath.Base(f)
		}
		fmt.Fprintln(w, strings.Join(names, "  "))
	}
	return line[:start] + full + line[pos:], start + len(full), true
}

// lastByte is the end of a text, or nothing.
func lastByte(text string) string {
	if text == "" {
		return ""
	}
	return text[len(text)-1:]
}

// commands is the programs in PATH and the functions that begin with word.
func (s *Shell) commands(word string) []string {
	seen := map[string]bool{}
	for name := range s.runner.Funcs {
		seen[name] = strings.HasPrefix(name, word)
	}
	path := s.runner.Vars["PATH"].String()
	if path == "" {
		path = s.runner.Env.Get("PATH").String()
	}
	for _, folder := range filepath.SplitList(path) {
		entries, _ := os.ReadDir(folder) // a folder of PATH need not exist
		for _, e := range entries {
			seen[e.Name()] = strings.HasPrefix(e.Name(), word)
		}
	}
	var found []string
	for name, ok := range seen {
		if ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// fileNames is the files that begin with word, with a slash after a folder.
func (s *Shell) fileNames(word string) []string {
	folder, base := filepath.Split(word)
	dir := folder
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.runner.Dir, dir)
	}
	entries, _ := os.ReadDir(dir) // nothing to complete where nothing can be read
	var found []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || base == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := folder + e.Name()
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			name += "/"
		}
		found = append(found, name)
	}
	return found
}

// commonPrefix is the longest text that all names begin with.
func commonPrefix(names []string) string {
	prefix := names[0]
	for _, name := range names[1:] {
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}
