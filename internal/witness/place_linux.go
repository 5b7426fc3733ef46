// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile is held by a run of tests as root, one at a time.
const lockFile = "/run/stave-tests.lock"

// place is where the tests of one package run.
type place struct {
	temp     string   // TMPDIR of the tests
	isolated bool     // the calling thread is in namespaces of its own
	lock     *os.File // nil unless no other run of root tests is there
}

// openPlace makes the place: a temporary folder for anybody; for root namespaces, and outside the unit tier, where
// tests that need root are skipped, the lock.
func openPlace() (*place, error) {
	p := &place{}
	var err error
	if os.Geteuid() == 0 && os.Getenv(tierVariable) != "unit" {
		if p.lock, err = takeLock(lockFile); err != nil {
			return nil, err
		}
	}
	if os.Geteuid() == 0 {
		err := isolate()
		if err != nil && !errors.Is(err, unix.EPERM) { // root without CAP_SYS_ADMIN can't mount anything either
			return nil, err
		}
		p.isolated = err == nil
	}
	if p.temp, err = os.MkdirTemp("", "witness"); err != nil {
		return nil, err
	}
	return p, os.Chmod(p.temp, 0o777|os.ModeSticky) // as /tmp: some tests give up root
}

// close removes the temporary folder and gives the lock back. The removal happens on another thread, in the machine's
// own mount namespace: there, what the tests left mounted is not mounted, and nothing below it can be removed.
func (p *place) close() {
	removed := make(chan error)
	go func() { removed <- os.RemoveAll(p.temp) }()
	if err := <-removed; err != nil {
		fmt.Fprintln(os.Stderr, "witness:", err)
	}
	if p.lock != nil {
		p.lock.Close()
	}
}

// takeLock opens a file and waits until nobody else has it locked. The kernel unlocks it when the process ends.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		fmt.Fprintf(os.Stderr, "witness: waiting for other tests that run as root (lock on %s)\n", path)
	}
	for err == unix.EWOULDBLOCK || err == unix.EINTR {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// isolate moves the calling thread to new mount, network and UTS namespaces.
func isolate() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := shareMounts(); err != nil {
		return err
	}
	return raiseLoopback()
}

// shareMounts cuts the mounts of the calling thread's namespace off from the machine's, in both directions, and then
// makes them shared: peers are only what is copied or cloned from this namespace from now on.
func shareMounts() error {
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", propagation|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("change the propagation of /: %w", err)
		}
	}
	return nil
}

// raiseLoopback brings the link lo of the calling thread's network namespace up, see netdevice(7).
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}
