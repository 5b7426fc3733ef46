// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Keep keeps a namespace of the container alive without a process: it binds the namespace's file of
// /proc over a file of its own (namespaces(7), "The /proc/PID/ns directory"). A host call, after the
// container's process has its namespaces.
type Keep struct {
	Kind Kind
	// Path is made as an empty file; its folder must be there. A mount namespace can be kept only
	// below a mount that is private, and only one that is newer than the caller's, or it could hold
	// itself; Linux 6.18 takes some new ones for old, and another try may pass.
	Path string
}

// String is "keep the net namespace at /run/x".
func (k Keep) String() string { return fmt.Sprintf("keep the %s namespace at %s", k.Kind, k.Path) }

// Shell is touch and mount --bind.
func (k Keep) Shell() string {
	path := kernel.Quote(k.Path)
	return fmt.Sprintf("touch %[1]s && mount --bind /proc/$pid/ns/%[2]s %[1]s", path, k.Kind)
}

// Assemble adds nothing: Do makes the file and the mount.
func (k Keep) Assemble(*kernel.Assembler) {}

// Do binds the file of the container's process.
func (k Keep) Do(h *kernel.Host) error {
	f, err := os.OpenFile(k.Path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	source := k.Kind.Path(h.Pid())
	if err := unix.Mount(source, k.Path, "", unix.MS_BIND, ""); err != nil {
		os.Remove(k.Path)
		return fmt.Errorf("bind %s: %w", source, err)
	}
	return nil
}

// Undo drops the namespace's file.
func (k Keep) Undo(*kernel.Host) error { return Forget(k.Path) }

// Forget ends what [Keep] began: without a process in it the namespace is gone.
func Forget(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}
