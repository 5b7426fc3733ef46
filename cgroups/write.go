// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"slices"
	"strings"

	"stave/kernel"
)

// either sets a limit whose file is called differently by kernels, or isn't there in some: it writes the first file that
// the kernel has, and goes on to the next when that does not work (EOPNOTSUPP), as a weight for a disk whose scheduler has none.
type either struct {
	// Writes are the ways to set the limit, the best one first.
	Writes []kernel.WriteFile
	// Missing says what it means when none of the files is there.
	Missing string
}

// String shows the value and the files.
func (e either) String() string {
	var list []string
	for _, w := range e.Writes {
		list = append(list, w.String())
	}
	return strings.Join(list, ", or else ")
}

// Shell asks for each file but the last whether it is there.
func (e either) Shell() string {
	last := len(e.Writes) - 1
	script := e.Writes[last].Shell()
	for i := last - 1; i >= 0; i-- {
		w := e.Writes[i]
		script = fmt.Sprintf("if [ -e %s ]; then %s; else %s; fi", kernel.Quote(w.Path), w.Shell(), script)
	}
	return script
}

// Assemble adds nothing: Do looks which file is there.
func (e either) Assemble(*kernel.Assembler) {}

// among writes a list of processors or memory nodes, all of which the group above must have: version 2 would take any
// list, and use all that the group above has when none of the list is there.
type among struct {
	kernel.WriteFile
	// Of is the file with those of the group above.
	Of string
}

// check compares the list with that in the other file.
func (a among) check(have string) error {
	present, err := parseSpans(strings.TrimSpace(have))
	if err != nil {
		return fmt.Errorf("read %s: %w", a.Of, err)
	}
	want, err := parseSpans(a.Data)
	if err != nil {
		return err
	}
	for _, w := range want {
		inside := func(s span) bool { return s.first <= w.first && w.last <= s.last }
		if !slices.ContainsFunc(present, inside) {
			return fmt.Errorf("%s says that there are only %s: give some of these", a.Of, strings.TrimSpace(have))
		}
	}
	return nil
}
