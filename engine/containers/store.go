// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// ErrNotFound says that there is no such container.
var ErrNotFound = errors.New("no such container")

// Layers is what containers need of the unpacked layers.
type Layers interface {
	// Get returns a layer that is there.
	Get(chain digest.Digest) (unionfs.Layer, error)
	// Refer keeps a layer from being collected until Release of the same holder.
	Refer(chain digest.Digest, holder string) error
	Release(holder string) error
}

// Containers are the containers of a state folder.
type Containers struct {
	dir     string
	run     string
	layers  Layers
	drivers []unionfs.Driver
}

// Open returns the containers below a state folder; it makes the folder that they are in. Those that run are kept by the runtime below
// the folder run, see [container.Instance]. Drivers are all that a container may have.
func Open(state, run string, layers Layers, drivers []unionfs.Driver) (*Containers, error) {
	c := &Containers{dir: filepath.Join(state, "containers"), run: run, layers: layers, drivers: drivers}
	if err := os.MkdirAll(c.dir, 0o711); err != nil {
		return nil, fmt.Errorf("the folder for containers: %w", err)
	}
	return c, nil
}

// driver returns a driver by its name.
func (c *Containers) driver(name string) (unionfs.Driver, error) {
	for _, d := range c.drivers {
		if d.Name() == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("there is no storage driver %q", name)
}

// turn is held by the one who makes folders or sweeps: a sweep could take a folder whose lock is not held yet for one that was
// left behind.
func (c *Containers) turn() (*os.File, error) {
	f, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	if err := lock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Temporary makes a folder that is gone, with all in it, when release is called or the process ends (then at the next sweep). Others may
// pass through it only where open is set, as the root of a user namespace has to.
func (c *Containers) Temporary(ctx context.Context, id string, open bool) (dir string, release func() error, err error) {
	turn, err := c.turn()
	if err != nil {
		return "", nil, err
	}
	defer turn.Close()
	if err := c.sweep(ctx); err != nil {
		return "", nil, err
	}
	dir = filepath.Join(c.dir, id)
	mode := os.FileMode(0o700)
	if open {
		mode = 0o711
	}
	lock, err := makeFolder(dir, mode)
	if err != nil {
		return "", nil, err
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
}

// makeFolder makes a container's folder and locks it. Nobody else may enter it as a rule: in what a container wrote there may be programs that
// change their user (CVE-2021-41091).
func makeFolder(dir string, mode os.FileMode) (*os.File, error) {
	if err := os.Mkdir(dir, mode); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return lock, nil
}

// Create makes a container. It is the caller's, locked, until [Container.Close]. What r leaves out of ID and Name is made up.
func (c *Containers) Create(ctx context.Context, r Record) (made *Container, err error) {
	defer func() {
		if noRoom(err) {
			err = fmt.Errorf("%w; make room on the file system of %s, for example by removing containers and images", err, c.dir)
		}
	}()
	made, err = c.reserve(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := made.prepare(ctx); err != nil {
		return nil, errors.Join(err, made.destroy(ctx), made.Close())
	}
	return made, nil
}

// reserve makes the folder of a container and its record, with which its id and name are taken.
func (c *Containers) reserve(ctx context.Context, r Record) (*Container, error) {
	turn, err := c.turn()
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	if err := c.sweep(ctx); err != nil {
		return nil, err
	}
	if err := c.name(&r); err != nil {
		return nil, err
	}
	r.Status, r.CreatedAt = Creating, time.Now().UTC()
	made := &Container{Record: r, store: c, dir: filepath.Join(c.dir, r.ID)}
	if made.lock, err = makeFolder(made.dir, 0o700); err != nil {
		return nil, err
	}
	if err := made.write(made.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(made.dir), made.Close())
	}
	return made, nil
}

// noRoom says whether an error is that of a full disk.
func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// name gives a record an id and a name that no other container has.
func (c *Containers) name(r *Record) (err error) {
	list, _ := c.List() // one that can't be read hinders no other
	if r.ID == "" {
		if r.ID, err = NewID(); err != nil {
			return err
		}
	}
	owner := func(name string) int {
		return slices.IndexFunc(list, func(other *Container) bool { return other.Name == name })
	}
	if r.Name == "" {
		r.Name, err = newName(func(name string) bool { return owner(name) >= 0 })
		return err
	}
	if err := checkName(r.Name); err != nil {
		return err
	}
	if i := owner(r.Name); i >= 0 {
		return fmt.Errorf("--name %s: container %s has this name; choose another, or remove that one: stave rm %s", r.Name, list[i].ID[:12], r.Name)
	}
	return nil
}

// List returns the containers, the newest first. They are not locked. What can't be read is an error beside them.
func (c *Containers) List() ([]*Container, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	var list []*Container
	var broken error
	for _, entry := range entries {
		dir := filepath.Join(c.dir, entry.Name())
		r, err := readRecord(dir)
		switch {
		case errors.Is(err, errTemporary) || !entry.IsDir():
		case err != nil:
			broken = errors.Join(broken, err)
		default:
			list = append(list, &Container{Record: r, store: c, dir: dir})
		}
	}
	slices.SortFunc(list, func(a, b *Container) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return list, broken
}

// Find returns the container with a name, an id, or the beginning of one that no other has. It is not locked. A container whose record
// can't be read is found by its whole id, with an error: all that can be done with it is [Container.Remove].
func (c *Containers) Find(name string) (*Container, error) {
	list, broken := c.List()
	if dir := filepath.Join(c.dir, name); broken != nil && len(name) == 64 && !strings.Contains(name, "/") {
		if _, err := readRecord(dir); err != nil && !errors.Is(err, errTemporary) {
			return &Container{Record: Record{ID: name, Name: name}, store: c, dir: dir}, err
		}
	}
	var found []*Container
	for _, one := range list {
		if one.ID == name || one.Name == strings.TrimPrefix(name, "/") {
			return one, nil
		}
		if name != "" && strings.HasPrefix(one.ID, name) {
			found = append(found, one)
		}
	}
	switch len(found) {
	case 0:
		if broken != nil {
			return nil, fmt.Errorf("among the containers that can be read there is no %s: %w", name, broken)
		}
		return nil, fmt.Errorf("%w: %s; stave ps -a lists them", ErrNotFound, name)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%s: the ids of %d containers begin so; give more of it", name, len(found))
}

// Sweep removes what killed commands left, and notes which containers ended with them.
func (c *Containers) Sweep(ctx context.Context) error {
	turn, err := c.turn()
	if err != nil {
		return err
	}
	defer turn.Close()
	return c.sweep(ctx)
}

// sweep is Sweep for one who has the turn. What is wrong with one folder does not keep the others from being swept; it
// shows when that container is asked for.
func (c *Containers) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() && ctx.Err() == nil {
			c.sweepOne(ctx, filepath.Join(c.dir, entry.Name()))
		}
	}
	return ctx.Err()
}

// sweepOne looks at one folder. A container whose stave was killed may still run, as one of runc does; then it stays as it is.
func (c *Containers) sweepOne(ctx context.Context, dir string) {
	r, err := readRecord(dir)
	temporary := errors.Is(err, errTemporary)
	switch {
	case err != nil && !temporary:
		return // no command can use it, and nothing is lost
	case !temporary && (r.Status == Created || r.Status == Exited) && !r.AutoRemove:
		return
	}
	if r.Status == Running {
		(&Container{Record: r, store: c, dir: dir}).resumeLeft()
	}
	lock, err := lockFile(filepath.Join(dir, lockName), 0)
	if temporary && errors.Is(err, fs.ErrNotExist) && !isRoot(filepath.Base(dir)) {
		os.RemoveAll(dir) // who has the turn sees no folder without a lock but those that were left
	}
	if err != nil {
		return
	}
	one := &Container{Record: r, store: c, dir: dir, lock: lock}
	defer one.Close()
	if temporary {
		if !isRoot(filepath.Base(dir)) {
			os.RemoveAll(dir)
		}
		return
	}
	if one.Record, err = readRecord(dir); err == nil { // it may have changed before it was ours
		_ = one.recover(ctx) // the next sweep tries again
	}
}
