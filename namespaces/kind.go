// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Kind is a kind of namespace, named as its file in /proc/PID/ns.
type Kind string

// The eight kinds (namespaces(7)).
const (
	Cgroup  Kind = "cgroup"
	IPC     Kind = "ipc"
	Mount   Kind = "mnt"
	Network Kind = "net"
	PID     Kind = "pid"
	Time    Kind = "time"
	User    Kind = "user"
	UTS     Kind = "uts"
)

// Kinds returns all kinds, in the order in which they are joined: the user namespace first, because
// it gives the right to join the others, and the mount namespace last, because the paths of the
// others are gone after it.
func Kinds() []Kind { return []Kind{User, IPC, UTS, Network, PID, Cgroup, Time, Mount} }

// Flag returns the CLONE_NEW* flag of the kind, and 0 for an unknown one.
func (k Kind) Flag() uintptr {
	flags := map[Kind]uintptr{
		Cgroup: unix.CLONE_NEWCGROUP, IPC: unix.CLONE_NEWIPC, Mount: unix.CLONE_NEWNS,
		Network: unix.CLONE_NEWNET, PID: unix.CLONE_NEWPID, Time: unix.CLONE_NEWTIME,
		User: unix.CLONE_NEWUSER, UTS: unix.CLONE_NEWUTS,
	}
	return flags[k]
}

// Path returns the file of the namespace that a process is in. A process that is no more gives an
// error when the file is opened.
func (k Kind) Path(pid int) string { return fmt.Sprintf("/proc/%d/ns/%s", pid, k) }

// KindOf returns the kind for its name in an OCI configuration ("mount", "network", …).
func KindOf(name string) (Kind, error) {
	names := map[string]Kind{
		"cgroup": Cgroup, "ipc": IPC, "mount": Mount, "network": Network,
		"pid": PID, "time": Time, "user": User, "uts": UTS,
	}
	if k, ok := names[name]; ok {
		return k, nil
	}
	return "", fmt.Errorf("unknown kind of namespace %q: one of cgroup, ipc, mount, network, pid, time, user, uts", name)
}
