// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"stave/kernel"
)

// PidFile writes the number of the container's process to a file, which is put in place whole: written
// beside it, then renamed.
type PidFile struct{ Path string }

// String names the file.
func (p PidFile) String() string { return "write the number of the container's process to " + p.Path }

// Shell is echo.
func (p PidFile) Shell() string { return "printf %s $pid > " + kernel.Quote(p.Path) }

// Assemble adds nothing: Do writes.
func (p PidFile) Assemble(*kernel.Assembler) {}

// Do writes the file.
func (p PidFile) Do(h *kernel.Host) error {
	f, err := os.CreateTemp(filepath.Dir(p.Path), ".stave-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(h.Pid()))
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), p.Path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Undo removes the file of a container that did not start.
func (p PidFile) Undo(*kernel.Host) error { return os.Remove(p.Path) }
