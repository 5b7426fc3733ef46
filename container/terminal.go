// SPDX-License-Identifier: Apache-2.0

package container

import (
	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
)

// slotConsole holds the socket over which the container's process sends its terminal.
const slotConsole kernel.Slot = "console"

// terminal plans the container's terminal, where the configuration asks for one. It comes before the
// root can become read-only: /dev/console may have to be made.
func (p *planner) terminal() []kernel.Call {
	if !p.spec.Process.Terminal {
		return nil
	}
	c := Console{UID: p.spec.Process.User.UID, Own: !p.joins}
	if size := p.spec.Process.ConsoleSize; size != nil {
		c.Rows, c.Columns = uint16(size.Height), uint16(size.Width)
	}
	return []kernel.Call{{Request: c, Why: "the command's terminal; its other end goes to whoever started the container"}}
}

// Console opens a terminal in the container's own devpts, sends its master end over the socket in
// the slot "console", and makes its slave end the process's controlling terminal, its standard
// streams and /dev/console (pts(4), ioctl_tty(2)).
type Console struct {
	// UID owns the terminal.
	UID uint32
	// Own makes it /dev/console too: of the container's first process, not of one that joins.
	Own bool
	// Rows and Columns are its first size; both 0 leave it to the kernel (0 by 0).
	Rows, Columns uint16
}

// String says what it does.
func (Console) String() string { return "open a terminal and make it the standard streams" }

// Shell is script(1), which is not the same but shows it.
func (Console) Shell() string { return "" }

// Assemble opens, sends, attaches.
func (c Console) Assemble(a *kernel.Assembler) {
	const master, slave kernel.Slot = "master", "slave"
	const root kernel.Slot = "root" // opened by chroot.BindRoot, or by OpenRoot
	how := kernel.Struct(kernel.Int(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC), kernel.Int(0), kernel.Int(unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS))
	a.Sys(unix.SYS_OPENAT2, kernel.FD(root), kernel.Str("dev/pts/ptmx"), how, kernel.Int(24)).Into(master)
	a.Sys(unix.SYS_IOCTL, kernel.FD(master), kernel.Int(unix.TIOCSPTLCK), kernel.Bytes(make([]byte, 4)))
	a.Sys(unix.SYS_IOCTL, kernel.FD(master), kernel.Int(unix.TIOCGPTPEER), kernel.Int(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)).Into(slave)
	if c.Rows != 0 || c.Columns != 0 {
		size := []byte{byte(c.Rows), byte(c.Rows >> 8), byte(c.Columns), byte(c.Columns >> 8), 0, 0, 0, 0}
		a.Sys(unix.SYS_IOCTL, kernel.FD(slave), kernel.Int(unix.TIOCSWINSZ), kernel.Bytes(size))
	}
	if c.UID != 0 {
		a.Sys(unix.SYS_FCHOWN, kernel.FD(slave), kernel.Int(c.UID), kernel.Int(-1))
	}
	if c.Own {
		chroot.BindDescriptor(a, slave, "/dev/console") // OCI config-linux.md, "Default Devices"
	}
	a.Sys(unix.SYS_SENDMSG, kernel.FD(slotConsole), descriptorMessage(master), kernel.Int(unix.MSG_NOSIGNAL))
	a.Sys(unix.SYS_IOCTL, kernel.FD(slave), kernel.Int(unix.TIOCSCTTY), kernel.Int(0))
	for fd := range 3 {
		a.Sys(unix.SYS_DUP3, kernel.FD(slave), kernel.Int(fd), kernel.Int(0))
	}
	a.Close(slave)
	a.Close(master)
}

// descriptorMessage lays out a struct msghdr that carries one byte and one descriptor (SCM_RIGHTS,
// unix(7), cmsg(3)).
func descriptorMessage(s kernel.Slot) kernel.Arg {
	const (
		headerSize  = 16 // struct cmsghdr: length, level, type
		messageSize = headerSize + 4
	)
	control := kernel.Struct(kernel.Int(messageSize), kernel.Int(uint64(unix.SOL_SOCKET)|uint64(unix.SCM_RIGHTS)<<32), kernel.FD(s))
	data := kernel.Struct(kernel.Bytes([]byte{0}), kernel.Int(1))
	return kernel.Struct(kernel.Int(0), kernel.Int(0), data, kernel.Int(1), control, kernel.Int(headerSize+8), kernel.Int(0))
}
