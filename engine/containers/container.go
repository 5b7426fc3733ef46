// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/container"
	"stave/unionfs"
)

// Container is a container of the store, as its record was when it was found.
type Container struct {
	Record
	store *Containers
	dir   string
	lock  *os.File // nil when it is not the caller's
	root  unionfs.Root
}

// Dir is the container's folder.
func (c *Container) Dir() string { return c.dir }

// RunRoot is the folder below which the runtime keeps the container while it runs.
func (c *Container) RunRoot() string { return c.store.run }

// Root is the root file system of a container that was made by [Containers.Create].
func (c *Container) Root() unionfs.Root { return c.root }

// holder is the name under which the container keeps its layers.
func (c *Container) holder() string { return "container-" + c.ID }

// prepare makes what the container needs besides its folder and record. Whoever is killed here leaves a container that is Creating.
func (c *Container) prepare(ctx context.Context) error {
	for _, chain := range c.Layers {
		if err := c.store.layers.Refer(chain, c.holder()); err != nil {
			return fmt.Errorf("layer %s of %s: %w", chain, c.Image, err)
		}
	}
	driver, stack, err := c.stack()
	if err != nil {
		return err
	}
	if c.root, err = driver.Prepare(ctx, stack); err != nil {
		return fmt.Errorf("the root file system of %s: %w", c.Image, err)
	}
	c.Status = Created
	return c.write(c.dir)
}

// stack is what the driver makes the root file system of.
func (c *Container) stack() (unionfs.Driver, unionfs.Stack, error) {
	s := unionfs.Stack{Dir: c.dir, ReadOnly: c.ReadOnly, Volatile: c.AutoRemove}
	for _, chain := range c.Layers {
		layer, err := c.store.layers.Get(chain)
		if err != nil {
			return nil, s, fmt.Errorf("layer %s of container %s: %w", chain, c.Name, err)
		}
		s.Layers = append(s.Layers, layer)
	}
	driver, err := c.store.driver(c.Driver)
	return driver, s, err
}

// Started notes that the container runs from now on.
func (c *Container) Started() error {
	c.Status, c.StartedAt = Running, time.Now().UTC()
	return c.write(c.dir)
}

// Exited notes how the container ended; with AutoRemove it is removed. why, if set, says why the code is not its command's own.
func (c *Container) Exited(ctx context.Context, code int, why error) error {
	c.Status, c.FinishedAt, c.ExitCode, c.Error = Exited, time.Now().UTC(), code, ""
	if why != nil {
		c.Error = why.Error()
	}
	if c.AutoRemove {
		return c.destroy(ctx)
	}
	return errors.Join(c.rest(), c.write(c.dir))
}

// rester is a driver that keeps something for containers that run, such as a mount with a process that serves it.
type rester interface {
	Rest(s unionfs.Stack) error
}

// rest takes away what only a container that runs needs of its driver.
func (c *Container) rest() error {
	driver, err := c.store.driver(c.Driver)
	if r, ok := driver.(rester); ok && err == nil {
		err = r.Rest(unionfs.Stack{Dir: c.dir, ReadOnly: c.ReadOnly})
	}
	return err
}

// recover looks at a container that nobody attends, and whose lock is the caller's: one that was being made or that removes itself goes,
// and of one that ran it is noted that it ended. One that still runs stays as it is.
func (c *Container) recover(ctx context.Context) error {
	runs, err := c.forget()
	switch {
	case err != nil || runs:
		return err
	case c.Status == Creating || c.AutoRemove:
		return c.destroy(ctx)
	case c.Status == Running:
		return c.lost()
	}
	return nil
}

// forget removes what the runtime kept of a container that has ended; it reports one that still runs.
func (c *Container) forget() (runs bool, err error) {
	i, err := container.Find(c.store.run, c.ID)
	if errors.Is(err, container.ErrNotExist) {
		return false, nil
	}
	if i == nil {
		return false, err
	}
	defer i.Close()
	if err == nil {
		s, err := i.State()
		if err == nil && s.Status != specs.StateStopped {
			return true, nil
		}
	}
	return false, i.Delete(true, nil)
}

// Kill ends a container's processes and waits until the stave that attends it has seen that.
func (c *Container) Kill(ctx context.Context) error {
	i, err := container.Find(c.store.run, c.ID)
	if errors.Is(err, container.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer i.Close()
	if err := i.Kill(unix.SIGKILL, true); err != nil && !errors.Is(err, container.ErrNotRunning) {
		return err
	}
	for ctx.Err() == nil {
		lock, err := lockFile(filepath.Join(c.dir, lockName), 0)
		switch {
		case err == nil:
			return lock.Close()
		case errors.Is(err, os.ErrNotExist):
			return nil // it removed itself
		case !errors.Is(err, errBusy):
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ctx.Err()
}

// lost notes that a container ended when nobody looked.
func (c *Container) lost() error {
	const unknown = 255
	c.FinishedAt = time.Now().UTC() // or some time before
	c.Status, c.ExitCode, c.Error = Exited, unknown, "the stave that ran the container was killed, and its exit code with it"
	return errors.Join(c.rest(), c.write(c.dir))
}

// ImageView returns a path at which this process sees what the container's root file system is without what was written, until
// release is called.
func (c *Container) ImageView(ctx context.Context) (path string, release func() error, err error) {
	driver, stack, err := c.stack()
	if err != nil {
		return "", nil, err
	}
	stack.ReadOnly = true
	return driver.View(ctx, stack)
}

// View returns a path at which this process sees the container's root file system, until release is called.
func (c *Container) View(ctx context.Context) (path string, release func() error, err error) {
	driver, stack, err := c.stack()
	if err != nil {
		return "", nil, err
	}
	if layered, ok := driver.(unionfs.Layered); ok && c.Status == Running {
		if upper, ok := layered.Upper(stack); ok { // two mounts that write to it would not be kept in step
			stack.Layers, stack.ReadOnly = append(stack.Layers, upper), true
		}
	}
	path, done, err := driver.View(ctx, stack)
	if err != nil {
		return "", nil, err
	}
	return path, func() error { return errors.Join(done(), c.restUnlessRunning()) }, nil
}

// restUnlessRunning is rest after a look at a container.
func (c *Container) restUnlessRunning() error {
	if c.Status == Running {
		return nil
	}
	return c.rest()
}

// Changes writes what was written in the container as a layer: an uncompressed tar with OCI whiteouts.
func (c *Container) Changes(ctx context.Context, w io.Writer) error {
	driver, stack, err := c.stack()
	if err != nil {
		return err
	}
	return errors.Join(driver.Changes(ctx, stack, w), c.restUnlessRunning())
}

// Remove removes the container and all it wrote. One that runs is refused.
func (c *Container) Remove(ctx context.Context) error {
	lock, err := lockFile(filepath.Join(c.dir, lockName), 0)
	if errors.Is(err, errBusy) {
		return fmt.Errorf("container %s runs, or another command is at work on it: end it first, or stave rm -f %s", c.Name, c.Name)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil // it removed itself
	}
	if err != nil {
		return err
	}
	c.lock = lock
	defer c.Close()
	runs, err := c.forget()
	if err != nil {
		return err
	}
	if runs {
		return fmt.Errorf("container %s still runs, though the stave that started it has ended: stave rm -f %s ends it", c.Name, c.Name)
	}
	return c.destroy(ctx)
}

// destroy takes the container away. The record goes last but for the folder: what is cut off before is removed by the next sweep,
// as the record says that it is being made.
func (c *Container) destroy(ctx context.Context) error {
	if c.ID != "" { // it has a record
		c.Status = Creating
		if err := c.write(c.dir); err != nil && !noRoom(err) { // where there is no room to note it, this makes some
			return err
		}
		if err := c.removeRoot(ctx); err != nil {
			return err
		}
		if err := c.store.layers.Release(c.holder()); err != nil {
			return err
		}
	}
	return os.RemoveAll(c.dir)
}

// removeRoot removes what the driver made. Layers that are gone don't hinder it.
func (c *Container) removeRoot(ctx context.Context) error {
	if c.Driver == "" { // nobody knows
		var failed error
		for _, d := range c.store.drivers {
			failed = errors.Join(failed, d.Remove(ctx, unionfs.Stack{Dir: c.dir}))
		}
		return failed
	}
	driver, err := c.store.driver(c.Driver)
	if err != nil {
		return err
	}
	return driver.Remove(ctx, unionfs.Stack{Dir: c.dir, ReadOnly: c.ReadOnly})
}

// Close leaves the container to others.
func (c *Container) Close() error {
	if c.lock == nil {
		return nil
	}
	err := c.lock.Close()
	c.lock = nil
	return err
}
