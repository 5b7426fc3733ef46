// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// BecomeRoot takes user and group id 0 of the user namespace.
type BecomeRoot struct{}

// String says what it does.
func (BecomeRoot) String() string { return "become root of the user namespace" }

// Shell is setpriv(1).
func (BecomeRoot) Shell() string { return "setpriv --reuid 0 --regid 0 --keep-groups" }

// Assemble sets group before user: with user 0 gone, groups could no longer be changed.
func (BecomeRoot) Assemble(a *kernel.Assembler) {
	zero := kernel.Int(0)
	a.Sys(unix.SYS_SETRESGID, zero, zero, zero)
	a.Sys(unix.SYS_SETRESUID, zero, zero, zero)
}

// Helper writes an id map through newuidmap(1) or newgidmap(1), which are set-user-ID root.
type Helper struct {
	// Program is "newuidmap" or "newgidmap".
	Program string
	Maps    []IDMap
}

// words are the program's arguments after the process number.
func (h Helper) words() []string {
	var words []string
	for _, m := range h.Maps {
		for _, n := range []uint32{m.Inside, m.Outside, m.Size} {
			words = append(words, strconv.FormatUint(uint64(n), 10))
		}
	}
	return words
}

// String is the program with its ranges.
func (h Helper) String() string { return h.Program + " " + strings.Join(h.words(), " ") }

// Shell is the program's command line.
func (h Helper) Shell() string { return h.Program + ` "$pid" ` + strings.Join(h.words(), " ") }

// Assemble adds nothing: Do runs the program.
func (h Helper) Assemble(*kernel.Assembler) {}

// Do runs the program on the container's process.
func (h Helper) Do(host *kernel.Host) error {
	cmd := exec.Command(h.Program, append([]string{strconv.Itoa(host.Pid())}, h.words()...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s (are the ranges in /etc/subuid and /etc/subgid?)", err, bytes.TrimSpace(out))
	}
	return nil
}

// Hostname sets the host name of the UTS namespace (sethostname(2)).
type Hostname struct{ Name string }

// String names it.
func (h Hostname) String() string { return "set the host name to " + h.Name }

// Shell is hostname(1).
func (h Hostname) Shell() string { return "hostname " + kernel.Quote(h.Name) }

// Assemble is sethostname(2).
func (h Hostname) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_SETHOSTNAME, kernel.Str(h.Name), kernel.Int(len(h.Name)))
}

// Domainname sets the NIS domain name of the UTS namespace (setdomainname(2)).
type Domainname struct{ Name string }

// String names it.
func (d Domainname) String() string { return "set the domain name to " + d.Name }

// Shell writes the sysctl: domainname(1) is in none of the usual packages.
func (d Domainname) Shell() string {
	return fmt.Sprintf("printf %%s %s > /proc/sys/kernel/domainname", kernel.Quote(d.Name))
}

// Assemble is setdomainname(2).
func (d Domainname) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_SETDOMAINNAME, kernel.Str(d.Name), kernel.Int(len(d.Name)))
}

// LinkUp brings up a network device of the current network namespace.
type LinkUp struct{ Name string }

// String names it.
func (l LinkUp) String() string { return "bring up the network device " + l.Name }

// Shell is ip(8).
func (l LinkUp) Shell() string { return "ip link set " + kernel.Quote(l.Name) + " up" }

// Assemble sets IFF_UP through SIOCSIFFLAGS; a new loopback has no other flag to keep (netdevice(7)).
func (l LinkUp) Assemble(a *kernel.Assembler) {
	const (
		slot      kernel.Slot = "socket"
		flagsAt               = unix.IFNAMSIZ // offset of ifr_flags in struct ifreq
		ifreqSize             = 40
	)
	ifreq := make([]byte, ifreqSize)
	copy(ifreq[:unix.IFNAMSIZ-1], l.Name)
	ifreq[flagsAt] = unix.IFF_UP
	a.Sys(unix.SYS_SOCKET, kernel.Int(unix.AF_INET), kernel.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), kernel.Int(0)).Into(slot)
	a.Sys(unix.SYS_IOCTL, kernel.FD(slot), kernel.Int(unix.SIOCSIFFLAGS), kernel.Bytes(ifreq))
	a.Close(slot)
}
