// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
)

// claim is a container's right to its cgroup. It is a file that is called after the cgroup and holds it, as JSON, and on
// which the program that runs the container has a lock (flock(2)) for as long as it lives. A claim that nobody has
// locked was left by a program that was killed: the next one removes what is left of its cgroup.
//
// Programs look at the tree of cgroups and change it above their own containers in turns: a folder that one of them
// has seen, or has just made, is not taken away by another. The turn is a lock on the folder with the claims.
type claim struct {
	folder string   // "" for a caller who makes no cgroups: then nothing is done
	turn   *os.File // the folder, nil when it is somebody else's turn
	file   *os.File // nil before take
	group  cgroups.Group
}

// claims is where the claims are: like cgroups, they don't outlive a reboot. A user without such a folder
// ($XDG_RUNTIME_DIR) has no cgroups of his own either.
func claims() string {
	if cgroups.Root() {
		return "/run/stave/cgroups"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "stave", "cgroups")
	}
	return ""
}

// newClaim waits for its turn and removes what killed programs left. The turn lasts until pass.
func newClaim(folder string) (*claim, error) {
	c := &claim{folder: folder}
	if folder == "" {
		return c, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("a folder to note cgroups in: %w", err)
	}
	if err := c.wait(); err != nil {
		return nil, err
	}
	if err := c.sweep(); err != nil {
		c.pass()
		return nil, err
	}
	return c, nil
}

// wait waits for the turn.
func (c *claim) wait() error {
	turn, err := kernel.Open(c.folder, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(turn.Fd()), unix.LOCK_EX); err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", c.folder, err), turn.Close())
	}
	c.turn = turn
	return nil
}

// pass ends the turn, if it is one.
func (c *claim) pass() {
	if c != nil && c.turn != nil {
		// The container's process has the descriptor too until it executes, and with it the lock, were it only closed.
		unix.Flock(int(c.turn.Fd()), unix.LOCK_UN)
		c.turn.Close()
		c.turn = nil
	}
}

// take claims a group, before it is made. One that a living program has claimed is an error.
func (c *claim) take(g cgroups.Group) error {
	if c.folder == "" || len(g.Folders) == 0 {
		return nil
	}
	name := filepath.Join(c.folder, claimName(g))
	file, err := kernel.Open(name, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return fmt.Errorf("note the cgroup: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return fmt.Errorf("the cgroup %s is another container's, which runs now: name another one", g.Folders[0].Path)
	}
	// One before may have had this group, and have made a folder above it that others use still: that is ours to remove now.
	var old cgroups.Group
	if json.NewDecoder(file).Decode(&old) == nil {
		g = g.Inheriting(old)
	}
	err = write(file, g)
	if err != nil {
		os.Remove(name)
		file.Close()
		return fmt.Errorf("note the cgroup: %w", err)
	}
	c.file, c.group = file, g
	return nil
}

// write writes a group into a claim, in place of what it holds.
func write(file *os.File, g cgroups.Group) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	w := &writer{}
	w.group(g)
	_, err := file.WriteAt(w.out, 0)
	return err
}

// claimName is the name of a group's claim: its path with another character for the slash, and the end of it alone
// where a file's name can't be so long.
func claimName(g cgroups.Group) string {
	f := g.Folders[0]
	name := strings.ReplaceAll(strings.Trim(strings.TrimPrefix(f.Path, f.Top), "/"), "/", `\`)
	return name[max(0, len(name)-unix.NAME_MAX):]
}

// end gives up the claim when the container has ended and its own folders are removed: those above it go too, if nobody
// else uses them. Where something of it stays, so does the claim, for a later sweep.
func (c *claim) end() error {
	defer c.pass()
	if c.file == nil {
		return nil
	}
	defer c.file.Close()
	if c.turn == nil {
		if err := c.wait(); err != nil {
			return err
		}
	}
	err := c.group.RemoveAbove()
	if c.group.Gone() {
		err = errors.Join(err, os.Remove(c.file.Name()))
	}
	if !c.group.Nested() {
		return err
	}
	return errors.Join(err, c.sweep()) // another container may have made the folder above, and ended before us
}

// removeAbove removes the folders above a group that nobody uses any more, in a turn of its own.
func removeAbove(g cgroups.Group) error {
	if !g.Nested() || claims() == "" {
		return nil
	}
	c, err := newClaim(claims())
	if err != nil {
		return err
	}
	defer c.pass()
	return g.RemoveAbove()
}

// sweep removes the cgroups of claims that nobody holds, and then the claims. A container that outlives its program
// keeps its cgroup, and the claim stays.
func (c *claim) sweep() error {
	entries, err := os.ReadDir(c.folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		file, err := kernel.Open(filepath.Join(c.folder, entry.Name()), unix.O_RDWR, 0)
		if err != nil {
			continue // its owner has just removed it
		}
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && left(file) {
			os.Remove(file.Name())
		}
		file.Close()
	}
	return nil
}

// left removes the cgroup of a claim that was left, unless processes are in it, and tells whether it is gone. A claim
// that was cut off has none: it is written whole before its cgroup is made.
func left(file io.Reader) bool {
	var g cgroups.Group
	if json.NewDecoder(file).Decode(&g) != nil {
		return true
	}
	if pids, err := g.Processes(); err != nil || len(pids) > 0 {
		return false
	}
	return g.RemoveUnused() == nil && g.Gone()
}
