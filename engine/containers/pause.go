// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"stave/container"
)

// pausedName is the file that says that a command has paused a container to look at it. Its lock says that the command still lives: a container
// whose pauser was killed goes on at the next sweep.
const pausedName = "paused"

// Pause stops the processes of a container that runs until resume is called. One that has ended, or that somebody else has paused, is
// left as it is.
func (c *Container) Pause() (resume func() error, err error) {
	marker, err := lockFile(filepath.Join(c.dir, pausedName), os.O_CREATE)
	if errors.Is(err, errBusy) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	unmark := func() error { return errors.Join(os.Remove(marker.Name()), marker.Close()) }
	err = c.instance((*container.Instance).Pause)
	switch {
	case errors.Is(err, container.ErrNotExist), errors.Is(err, container.ErrNotRunning):
		return func() error { return nil }, unmark()
	case err != nil:
		return nil, errors.Join(err, unmark())
	}
	return func() error { return errors.Join(c.resume(), unmark()) }, nil
}

// resume lets a container go on that Pause has stopped, unless it has ended or somebody has done so.
func (c *Container) resume() error {
	err := c.instance((*container.Instance).Resume)
	if errors.Is(err, container.ErrNotExist) || errors.Is(err, container.ErrNotPaused) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("container %s stays paused: %w", c.Name, err)
	}
	return nil
}

// instance does something with a container as the runtime knows it.
func (c *Container) instance(do func(*container.Instance) error) error {
	i, err := container.Find(c.store.run, c.ID)
	if i != nil {
		defer i.Close()
	}
	if err != nil {
		return err
	}
	return do(i)
}

// resumeLeft lets a container go on whose pauser was killed.
func (c *Container) resumeLeft() {
	marker, err := lockFile(filepath.Join(c.dir, pausedName), 0)
	if err != nil { // nobody has paused it, or somebody who lives
		return
	}
	defer marker.Close()
	if c.resume() == nil {
		os.Remove(marker.Name())
	}
}
