// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"strings"
)

// most is how many tests of a run are tried a second time. More of them have not failed by chance.
const most = 5

// secondTry returns the commands that try once more what failed, one for each package. A package that failed by itself,
// because of a panic, its build, or what the witness found, gets no second try, nor does anything beside it.
func (r *record) secondTry(command []string) [][]string {
	failed := map[string]map[string]bool{}
	count := 0
	for key, result := range r.results {
		if result.action != "fail" {
			continue
		}
		if key.name == "" {
			return nil
		}
		name, _, part := strings.Cut(key.name, "/")
		if failed[key.pkg] == nil {
			failed[key.pkg] = map[string]bool{}
		}
		if failed[key.pkg][name] = true; !part {
			count++
		}
	}
	if count > most {
		return nil
	}
	var commands [][]string
	for _, pkg := range slices.Sorted(maps.Keys(failed)) {
		names := slices.Sorted(maps.Keys(failed[pkg]))
		again := slices.DeleteFunc(slices.Clone(command), isPackage)
		commands = append(commands, append(again, "-run", "^("+strings.Join(names, "|")+")$", pkg))
	}
	return commands
}

// isPackage tells whether an argument of go test names packages of this module.
func isPackage(arg string) bool {
	return arg == "." || strings.HasPrefix(arg, "./") || arg == "stave" || strings.HasPrefix(arg, "stave/")
}
