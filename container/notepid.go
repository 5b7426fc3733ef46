// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"

	"stave/kernel"
)

// NotePid writes the container's process into its folder: from here on it is created, or runs.
type NotePid struct{ Path string }

// String names the file.
func (n NotePid) String() string {
	return "note the container's process, and when it began, in " + n.Path
}

// Shell is empty: a script is not kept anywhere.
func (n NotePid) Shell() string { return "" }

// Assemble adds nothing: Do writes.
func (n NotePid) Assemble(*kernel.Assembler) {}

// Do writes the file.
func (n NotePid) Do(h *kernel.Host) error {
	l, err := lifeOf(h.Pid())
	if err != nil {
		return err
	}
	return putFile(n.Path, []byte(l.String()))
}

// Undo removes it.
func (n NotePid) Undo(*kernel.Host) error { return os.Remove(n.Path) }

// lifeOf looks when a process began.
func lifeOf(pid int) (life, error) {
	text, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return life{}, err
	}
	_, began, err := parseStat(string(text))
	return life{pid, began}, err
}
