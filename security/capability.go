// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Set is a set of capabilities: bit n is the capability with number n (linux/capability.h).
type Set uint64

// capabilityNames lists the capabilities of Linux 6.x by number, without CAP_ (capabilities(7)).
func capabilityNames() [41]string {
	return [...]string{
		"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
		"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
		"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
		"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
		"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
		"CHECKPOINT_RESTORE",
	}
}

// DefaultCapabilities are the 14 that Docker gives a container.
func DefaultCapabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

// AllCapabilities lists the names of all capabilities from 0 to last, which is what the kernel says
// in /proc/sys/kernel/cap_last_cap.
func AllCapabilities(last int) []string { return all(last).Names() }

// all is the set of the capabilities from 0 to last.
func all(last int) Set { return Set(1)<<uint(min(last, 62)+1) - 1 }

// ParseCapability returns the number of a capability. Case does not matter, nor does the prefix CAP_.
func ParseCapability(name string) (int, error) {
	short := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	names := capabilityNames()
	if n := slices.Index(names[:], short); n >= 0 {
		return n, nil
	}
	return 0, fmt.Errorf("unknown capability %q: see capabilities(7) for the names", name)
}

// ParseSet returns the set of the named capabilities. A name that is no capability at all is an error;
// a capability with a number above last, which the running kernel lacks, is left out: a process
// could not have it.
func ParseSet(names []string, last int) (Set, error) {
	var set Set
	for _, name := range names {
		n, err := ParseCapability(name)
		if err != nil {
			return 0, err
		}
		set |= 1 << n
	}
	return set & all(last), nil
}

// Adjust changes a list of capabilities as docker run --cap-add and --cap-drop do. ALL among the added gives
// all capabilities up to last but the dropped ones; ALL among the dropped leaves only the added ones.
func Adjust(base, add, drop []string, last int) ([]string, error) {
	sets := make([]Set, 3)
	for i, names := range [][]string{base, without(add, "ALL"), without(drop, "ALL")} {
		set, err := ParseSet(names, last)
		if err != nil {
			return nil, err
		}
		sets[i] = set
	}
	switch {
	case len(without(add, "ALL")) < len(add):
		return (all(last) &^ sets[2]).Names(), nil
	case len(without(drop, "ALL")) < len(drop):
		return sets[1].Names(), nil
	}
	return (sets[0]&^sets[2] | sets[1]).Names(), nil
}

// without returns the names that are not word, whatever their case.
func without(names []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.EqualFold(name, word) })
}

// Has reports whether capability n is in the set.
func (s Set) Has(n int) bool { return s&(1<<n) != 0 }

// numbers lists the capabilities of the set in order.
func (s Set) numbers() []int {
	var list []int
	for rest := uint64(s); rest != 0; rest &= rest - 1 {
		list = append(list, bits.TrailingZeros64(rest))
	}
	return list
}

// Names lists the capabilities of the set by number, as OCI writes them: CAP_CHOWN. One that is newer than
// this program is CAP_41.
func (s Set) Names() []string {
	known := capabilityNames()
	names := []string{}
	for _, n := range s.numbers() {
		if n < len(known) {
			names = append(names, "CAP_"+known[n])
		} else {
			names = append(names, fmt.Sprintf("CAP_%d", n))
		}
	}
	return names
}

// String is the set as a sentence holds it: "none", "chown, kill", "all but sys_admin".
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	if missing := all(unix.CAP_LAST_CAP) &^ s; bits.OnesCount64(uint64(missing)) < 4 {
		if missing == 0 {
			return "all"
		}
		return "all but " + strings.Join(short(missing), ", ")
	}
	return strings.Join(short(s), ", ")
}

// short lists a set as util-linux writes it: lower case, without the prefix.
func short(s Set) []string {
	names := s.Names()
	for i, name := range names {
		names[i] = strings.ToLower(name)
		if s.numbers()[i] <= unix.CAP_LAST_CAP {
			names[i] = strings.TrimPrefix(names[i], "cap_")
		}
	}
	return names
}
