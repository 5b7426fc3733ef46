// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

// helpWidth is the longest line of help.
const helpWidth = 78

// builtinNames is what the shell does itself.
func builtinNames() []string {
	return strings.Fields(". : alias bg break cd command continue eval exec exit export fg getopts help history jobs " +
		"kill local read readonly return set shift times trap type ulimit umask unalias unset wait")
}

// helpBuiltin is help: the builtins, and the tools that PATH leads to.
func (s *Shell) helpBuiltin(_ context.Context, hc interp.HandlerContext, _ []string) error {
	fmt.Fprintln(hc.Stdout, "The shell itself does:")
	wrapped(hc.Stdout, builtinNames())
	if tools := toolNames(hc.Env.Get("PATH").String()); len(tools) > 0 {
		fmt.Fprintln(hc.Stdout, "The tools are:")
		wrapped(hc.Stdout, tools)
	}
	fmt.Fprintln(hc.Stdout, "TOOL --help tells what a tool takes. Keys: Tab completes, arrow up is history.")
	return nil
}

// toolNames is the links in PATH that lead to the same program as sh does.
func toolNames(path string) []string {
	var names []string
	for _, folder := range filepath.SplitList(path) {
		program, err := os.Readlink(filepath.Join(folder, "sh"))
		if err != nil {
			continue // no folder of tools
		}
		entries, _ := os.ReadDir(folder) // one that can't be read has no tools to show
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(folder, e.Name())); err == nil && to == program {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wrapped prints words in lines of at most helpWidth bytes.
func wrapped(w io.Writer, words []string) {
	line := " "
	for _, word := range words {
		if len(line)+1+len(word) > helpWidth {
			fmt.Fprintln(w, line)
			line = " "
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

// noOldFolder is cd - before any other cd.
func (s *Shell) noOldFolder(_ context.Context, hc interp.HandlerContext, _ []string) error {
	return s.complain(hc, []string{"cd"}, errors.New("OLDPWD not set"))
}
