// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
)

// The files in a container's folder.
const (
	stateName  = "state.json"  // what is known before the process exists, see record
	configFile = "config.json" // a copy of the bundle's, which may change later
	pidName    = "pid"         // the process, once it is set up
	startName  = "start.sock"  // on which it waits for its start
	makerName  = "maker"       // the command that makes it, as the file pid has it
)

// Instance is a container that is kept below a root: a folder with its name, whose files a person can read. A command
// that changes the container has a lock on the folder (flock(2)); one that looks has none, as each file is put in
// place whole.
type Instance struct {
	record
	folder string
	dir    int // the open folder
}

// DefaultRoot is where containers are kept unless the caller says otherwise: they don't outlive a reboot.
func DefaultRoot() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); !cgroups.Root() && filepath.IsAbs(dir) {
		return filepath.Join(dir, "stave-oci")
	}
	return "/run/stave-oci"
}

// newInstance makes the folder of a container that is about to be made, and locks it.
func newInstance(root, id string) (*Instance, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("a folder to keep containers in (--root names another): %w", err)
	}
	i := &Instance{folder: filepath.Join(root, id)}
	if err := os.Mkdir(i.folder, 0o700); errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %s is there; stave-oci delete %s removes it", ErrExist, i.folder, id)
	} else if err != nil {
		return nil, err
	}
	if err := i.open(); err != nil {
		return nil, err
	}
	err = i.lock()
	if err == nil {
		err = i.noteMaker()
	}
	if err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// noteMaker writes down which process makes the container, so that a deletion by force can end it.
func (i *Instance) noteMaker() error {
	l, err := lifeOf(os.Getpid())
	if err != nil {
		return err
	}
	return putFile(i.path(makerName), []byte(l.String()))
}

// Find opens a container that is kept below a root. The error is an [ErrNotExist] where there is none. One that was not
// made completely, or whose state can't be read, is found with an error that says so.
func Find(root, id string) (*Instance, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	i := &Instance{folder: filepath.Join(root, id)}
	if err := i.open(); err != nil {
		return nil, err
	}
	i.ID = id
	return i, i.load()
}

// open opens the folder.
func (i *Instance) open() (err error) {
	i.dir, err = unix.Open(i.folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return fmt.Errorf("%w: %s is not there; stave-oci list shows those that are", ErrNotExist, i.folder)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: i.folder, Err: err}
	}
	return nil
}

// Close gives up the lock, and what is open.
func (i *Instance) Close() error {
	i.unlock()
	return unix.Close(i.dir)
}

// unlock gives up the lock, also of a process that is being set up and has the descriptor too.
func (i *Instance) unlock() { unix.Flock(i.dir, unix.LOCK_UN) }

// lock waits until no other command changes the container. It fails when one has removed it meanwhile.
func (i *Instance) lock() error {
	for {
		err := unix.Flock(i.dir, unix.LOCK_EX)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock %s: %w", i.folder, err)
		}
		break
	}
	var here, there unix.Stat_t
	if unix.Fstat(i.dir, &here) != nil || unix.Stat(i.folder, &there) != nil || here.Ino != there.Ino {
		return fmt.Errorf("%w: another command has just removed %s", ErrNotExist, i.folder)
	}
	return nil
}

// relock is lock, and reads again what another command may have written before it gave up the lock.
func (i *Instance) relock() error {
	if err := i.lock(); err != nil {
		return err
	}
	return i.load()
}

// making tells whether another command has the lock.
func (i *Instance) making() bool {
	dir, err := unix.Open(i.folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	return unix.Flock(dir, unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK
}

// load reads what is kept.
func (i *Instance) load() error {
	data, err := kernel.ReadFile(i.path(stateName))
	if errors.Is(err, os.ErrNotExist) && i.making() {
		return fmt.Errorf("container %s: another command is just making it", i.ID)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("container %s: its creation was interrupted; stave-oci delete --force %s removes what is left", i.ID, i.ID)
	}
	r := record{}
	if err == nil {
		r, err = decodeRecord(data)
	}
	if err == nil && (r.ID != i.ID || r.Created.IsZero()) {
		err = fmt.Errorf("it is not the state of this container")
	}
	if err == nil {
		err = checkGroup(r.Cgroup)
	}
	if err != nil {
		return fmt.Errorf("container %s: %s: %w; stave-oci delete --force %s removes it", i.ID, i.path(stateName), err, i.ID)
	}
	i.record = r
	return nil
}

// save writes what is kept, and the configuration.
func (i *Instance) save(b *Bundle) error {
	if err := putFile(i.path(configFile), b.data); err != nil {
		return err
	}
	return putFile(i.path(stateName), append(i.encode(), '\n'))
}

// path is that of a file in the folder.
func (i *Instance) path(name string) string { return filepath.Join(i.folder, name) }

// life reads the container's process, and false before it is set up.
func (i *Instance) life() (life, bool, error) {
	l, known, err := readLife(i.path(pidName))
	if err != nil {
		err = fmt.Errorf("container %s: %w; stave-oci delete --force %s removes it", i.ID, err, i.ID)
	}
	return l, known, err
}

// readLife reads a process from a file, and false where there is none.
func readLife(name string) (life, bool, error) {
	text, err := kernel.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return life{}, false, nil
	}
	if err != nil {
		return life{}, false, err
	}
	l, err := parseLife(string(text))
	if err != nil {
		return l, false, fmt.Errorf("%s: %w", name, err)
	}
	return l, true, nil
}

// alive tells whether a process runs. One that has ended and was not collected yet does not.
func (l life) alive() bool {
	text, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/stat", l.pid))
	if err != nil {
		return false
	}
	state, began, err := parseStat(string(text))
	return err == nil && began == l.began && state != 'Z' && state != 'X'
}

// State looks at the container.
func (i *Instance) State() (State, error) {
	s, err := i.look()
	s.Owner = userName(i.UID)
	return s, err
}

// look is State without the name of the owner, which only a person wants to know.
func (i *Instance) look() (State, error) {
	s := State{
		Version: i.Version, ID: i.ID, Bundle: i.Bundle, Rootfs: i.Rootfs, Created: i.Created,
		Annotations: i.Annotations,
	}
	making := i.making() // looked at first: the file pid comes before the lock goes
	l, created, err := i.life()
	if err != nil {
		return s, err
	}
	alive, frozen := created && l.alive(), false
	if alive {
		s.Pid = l.pid
		frozen, _ = i.Cgroup.Frozen() // a group without a freezer is not frozen
	}
	s.Status = statusOf(alive, created, unix.Access(i.path(startName), unix.F_OK) == nil, frozen, making)
	return s, nil
}

// remove removes the folder. What tells how to clean up goes last.
func (i *Instance) remove() error {
	for _, name := range []string{startName, makerName, configFile, pidName, stateName} {
		if err := os.Remove(i.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(i.folder)
}

// List looks at all containers below a root, the oldest first. One that can't be read, or is just being
// made or removed, has the status "creating" or "stopped", and no bundle.
func List(root string) ([]State, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []State
	for _, entry := range entries {
		if !entry.IsDir() || CheckID(entry.Name()) != nil {
			continue
		}
		i, err := Find(root, entry.Name())
		if i == nil {
			continue // removed meanwhile
		}
		s, stateErr := i.State()
		if errors.Join(err, stateErr) != nil && s.Status == "" {
			s.Status = statusOf(false, false, false, false, i.making())
		}
		if s.Created.IsZero() {
			if info, err := entry.Info(); err == nil {
				s.Created = info.ModTime()
			}
		}
		i.Close()
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b State) int { return a.Created.Compare(b.Created) })
	return list, nil
}

// newRecord is what is known of a container that is planned.
func newRecord(b *Bundle, f Facts, o Options, rest []string) record {
	return record{
		Version: b.Spec.Version, ID: o.ID, Bundle: b.Dir, Rootfs: b.rootPath(), Created: time.Now().UTC(), UID: os.Getuid(),
		Annotations: b.Spec.Annotations, Hooked: b.Spec.Hooks != nil, Cgroup: f.Group, Unit: f.Unit, Rdt: f.RdtLeft, Rest: rest,
		Streams: streams(b.Spec), HostRoot: f.HostRoot,
	}
}

// putFile puts a file in place whole.
func putFile(name string, data []byte) error {
	temporary := name + ".new"
	fd, err := unix.Open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o600) // the environment may hold secrets
	if err != nil {
		return &os.PathError{Op: "open", Path: temporary, Err: err}
	}
	for rest := data; len(rest) > 0 && err == nil; {
		var n int
		if n, err = unix.Write(fd, rest); err == unix.EINTR {
			n, err = 0, nil
		}
		rest = rest[max(n, 0):]
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		os.Remove(temporary)
		return fmt.Errorf("write %s: %w", temporary, err)
	}
	return os.Rename(temporary, name)
}
