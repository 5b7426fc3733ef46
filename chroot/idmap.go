// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// IDRange maps Size ids of an id-mapped mount: a file that belongs to Inside in the source's file
// system belongs, seen through the mount, to Outside. The numbers are the host's; a container with a
// user namespace of its own translates them once more.
type IDRange struct{ Inside, Outside, Size uint32 }

// MakeIDMap makes a user namespace that holds an id map and keeps it in a slot: that is the form in
// which mount_setattr(2) takes a map. A host call.
type MakeIDMap struct {
	UIDs, GIDs []IDRange
	// Into keeps the namespace's file.
	Into kernel.Slot
}

// String shows the map in the short form of mount(8)'s X-mount.idmap: "u:0:1000:1 g:0:1000:1".
func (m MakeIDMap) String() string {
	return "make the id map " + idMapOption(m.UIDs, m.GIDs) + " in a user namespace"
}

// Shell is empty: mount(8) makes the namespace by itself, see [PlaceTree].
func (m MakeIDMap) Shell() string { return "" }

// Assemble adds nothing: Do makes the namespace.
func (m MakeIDMap) Assemble(*kernel.Assembler) {}

// Do runs a program of its own: a process in a new user namespace waits until its maps are written
// and its namespace is opened, and ends. The open file keeps the namespace.
func (m MakeIDMap) Do(h *kernel.Host) error {
	const point = "the id map"
	opened := -1
	process, err := kernel.Program{
		Host: []kernel.Call{
			{Request: kernel.Clone{Flags: unix.CLONE_NEWUSER}},
			{Request: kernel.Await{Point: point}},
			{Request: kernel.WriteFile{Path: "/proc/$pid/uid_map", Data: idMapText(m.UIDs)}},
			{Request: kernel.WriteFile{Path: "/proc/$pid/gid_map", Data: idMapText(m.GIDs)}},
			{Request: openUserNamespace{&opened}},
			{Request: kernel.Release{Point: point}},
		},
		Container: []kernel.Call{{Request: kernel.Wait{Point: point}}},
	}.Start(kernel.Options{})
	if opened >= 0 {
		h.Set(m.Into, opened) // closed with the other slots
	}
	var inner *kernel.CallError
	if errors.As(err, &inner) {
		return fmt.Errorf("%s: %w", inner.Call, inner.Err) // the call that failed is this one
	}
	if err != nil {
		return err
	}
	_, err = process.Wait()
	return err
}

// openUserNamespace opens the user namespace of a program's process.
type openUserNamespace struct{ into *int }

// String says what is opened.
func (o openUserNamespace) String() string { return "open the user namespace" }

// Shell is empty: no script runs this program.
func (o openUserNamespace) Shell() string { return "" }

// Assemble adds nothing: Do opens.
func (o openUserNamespace) Assemble(*kernel.Assembler) {}

// Do opens the file of /proc while the process waits.
func (o openUserNamespace) Do(h *kernel.Host) error {
	fd, err := unix.Open(h.Expand("/proc/$pid/ns/user"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		*o.into = fd
	}
	return err
}

// idMapText is a map as /proc/PID/uid_map takes it.
func idMapText(ranges []IDRange) string {
	var text strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&text, "%d %d %d\n", r.Inside, r.Outside, r.Size)
	}
	return text.String()
}

// idMapOption is a map as mount(8)'s X-mount.idmap takes it.
func idMapOption(uids, gids []IDRange) string {
	var words []string
	for _, r := range uids {
		words = append(words, fmt.Sprintf("u:%d:%d:%d", r.Inside, r.Outside, r.Size))
	}
	for _, r := range gids {
		words = append(words, fmt.Sprintf("g:%d:%d:%d", r.Inside, r.Outside, r.Size))
	}
	return strings.Join(words, " ")
}

// Refuse ends the program before anything is made: the configuration asks for a mount that there
// can't be. A host call.
type Refuse struct{ Target, Reason string }

// String names the mount.
func (r Refuse) String() string { return "refuse the mount on " + r.Target }

// Shell says the same and ends the script.
func (r Refuse) Shell() string {
	return "echo " + kernel.Quote(r.Target+": "+r.Reason) + " >&2; exit 1"
}

// Assemble adds nothing: Do refuses.
func (r Refuse) Assemble(*kernel.Assembler) {}

// Do returns the reason as an error.
func (r Refuse) Do(*kernel.Host) error { return errors.New(r.Reason) }
