// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Options are the folders of a union.
type Options struct {
	// Lower are the layers that are not changed, the lowest first.
	Lower []string
	// Upper is the folder that takes the changes. Without one the union is read-only.
	Upper string
	// Work is a folder of the union's own in the same file system as Upper.
	Work string
	// User says that the attributes that mean something to the union are user.overlay.*, which ordinary users may set, and not
	// trusted.overlay.*. It is overlay's option "userxattr".
	User bool
	// Trace, if given, is told what the union does in the layers, a line for each act, without a newline. It must not call the union.
	Trace func(line string)
}

// Union is a union of folders. Names are as in io/fs: no slash at the start, "." for the root. Its methods may be called by
// several goroutines at once. Errors are of type *fs.PathError with the error number that the kernel's overlay would give.
type Union struct {
	layers   []layer  // the top first
	writable bool     // layers[0] is the upper one
	work     *os.Root // nil if the union is read-only
	lock     *os.File // the work folder, locked
	prefix   string   // of the attributes that are the union's own
	tell     func(line string)
	mutex    sync.RWMutex
}

// layer is one of the folders.
type layer struct {
	name string // for Trace
	root part
}

// New makes a union of folders that exist, and removes what an earlier one that was killed left in the work folder.
func New(o Options) (*Union, error) {
	u := &Union{writable: o.Upper != "", prefix: "trusted.overlay.", tell: o.Trace}
	if o.User {
		u.prefix = "user.overlay."
	}
	if err := u.open(o); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// open opens the layers and the work folder.
func (u *Union) open(o Options) error {
	if u.writable {
		if err := u.add("upper", o.Upper); err != nil {
			return err
		}
	}
	for i, folder := range slices.Backward(o.Lower) {
		if err := u.add(fmt.Sprintf("layer %d", i+1), folder); err != nil {
			return err
		}
	}
	switch {
	case len(u.layers) == 0:
		return errors.New("a union needs at least one folder")
	case u.writable:
		return u.openWork(o.Work)
	}
	return nil
}

// add opens a folder and makes it the lowest layer.
func (u *Union) add(name, folder string) error {
	fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open " + name, Path: folder, Err: err}
	}
	root, err := u.examine(fd, ".", len(u.layers))
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, folder, err)
	}
	u.layers = append(u.layers, layer{name, root})
	if u.writable && len(u.layers) > 1 && os.SameFile(u.layers[0].root.info, root.info) {
		return fmt.Errorf("%s %s is the upper folder, too: what is written would change a layer", name, folder)
	}
	return nil
}

// Close gives the descriptors back. Files that were opened stay open.
func (u *Union) Close() error {
	var err error
	for _, l := range u.layers {
		err = errors.Join(err, l.root.file.Close())
	}
	if u.lock != nil {
		err = errors.Join(err, u.lock.Close())
	}
	if u.work != nil {
		err = errors.Join(err, u.work.Close())
	}
	u.layers, u.work, u.lock = nil, nil, nil
	return err
}

// read does an operation that changes nothing.
func (u *Union) read(op, name string, do func(*walk) error) error {
	u.mutex.RLock()
	defer u.mutex.RUnlock()
	return u.do(op, name, do)
}

// change does an operation that writes.
func (u *Union) change(op, name string, do func(*walk) error) error {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return u.do(op, name, func(w *walk) error {
		if !u.writable {
			return unix.EROFS
		}
		return do(w)
	})
}

// do does an operation with a walk of its own, and says in the error what it was about.
func (u *Union) do(op, name string, do func(*walk) error) error {
	w := u.walk()
	defer w.end()
	err := do(w)
	if err != nil {
		err = &fs.PathError{Op: op, Path: name, Err: err}
	}
	return err
}

// trace tells what is done.
func (u *Union) trace(format string, args ...any) {
	if u.tell != nil {
		u.tell(fmt.Sprintf(format, args...))
	}
}
