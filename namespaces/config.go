// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Config says which namespaces a container gets.
type Config struct {
	// New are the CLONE_NEW* flags of the namespaces to make.
	New uintptr
	// Joins are the namespaces to enter instead.
	Joins []Join
	// UIDs and GIDs are the id maps of a new user namespace.
	UIDs, GIDs []IDMap
	// Mapping says how the maps are written.
	Mapping Mapping
	// Offsets are the clock offsets of a new time namespace, by clock name ("monotonic",
	// "boottime").
	Offsets map[string]Offset
	// Hostname and Domainname are set in the UTS namespace; "" leaves them.
	Hostname, Domainname string
	// Loopback brings up the device lo of a new network namespace.
	Loopback bool
	// Cgroup, if set, holds the descriptor of the v2 cgroup in which the first process is born, see [kernel.Clone].
	Cgroup kernel.Slot
}

// IDMap maps Size ids from Inside of a user namespace to ids from Outside (user_namespaces(7)).
type IDMap struct{ Inside, Outside, Size uint32 }

// Mapping is a way to write id maps.
type Mapping uint8

// The ways to write id maps.
const (
	// Privileged writes the files: the writer has CAP_SETUID and CAP_SETGID over the ids.
	Privileged Mapping = iota
	// Single writes the files as an ordinary user who maps his own id; setgroups(2) is denied first.
	Single
	// Helpers runs newuidmap(1) and newgidmap(1).
	Helpers
)

// Offset is added to a clock in a time namespace; it may be negative.
type Offset struct {
	Seconds int64
	// Nanoseconds is from 0 to 999,999,999.
	Nanoseconds uint32
}

// pointMaps is where the new process waits for its id maps.
const pointMaps = "the id maps"

// Plan returns the host calls that start the process (the clone among them) and the first calls of
// the container side, up to a process that is in all its namespaces.
func (c Config) Plan() (host, inside []kernel.Call) {
	if len(c.Joins) == 0 && c.New&unix.CLONE_NEWTIME == 0 {
		host, inside = c.direct()
	} else {
		host, inside = c.staged()
	}
	return host, append(inside, c.names()...)
}

// direct plans the common case: one clone with a flag for each new namespace. The cgroup namespace waits until
// the process is in its cgroup. With a user namespace the
// IPC namespace waits for the id maps: the file system of its message queues belongs to whoever makes
// it, and until then that is nobody.
func (c Config) direct() (host, inside []kernel.Call) {
	later := c.New & unix.CLONE_NEWCGROUP
	why := "only now: the cgroup that the process is in is to be the top of what it sees"
	if c.New&unix.CLONE_NEWUSER != 0 && c.New&unix.CLONE_NEWIPC != 0 {
		if later |= unix.CLONE_NEWIPC; later == unix.CLONE_NEWIPC {
			why = "only now: its message queues are to belong to the container's root"
		} else {
			why += ", and its message queues are to belong to the container's root"
		}
	}
	clone := kernel.Clone{Flags: c.New &^ later, Cgroup: c.Cgroup}
	host = []kernel.Call{{Request: clone, Why: "a process with its own view of the system"}}
	if c.New&unix.CLONE_NEWUSER != 0 {
		host = append(host, c.writeMaps()...)
		inside = c.awaitMaps()
	}
	if later != 0 {
		inside = append(inside, kernel.Call{Request: Unshare{later}, Why: why})
	}
	return host, inside
}

// staged plans the case that needs a process in between: it joins, makes the user namespace and sets
// the clocks, and then moves on into a child that has all the rest.
func (c Config) staged() (host, inside []kernel.Call) {
	host = []kernel.Call{{Request: kernel.Clone{Cgroup: c.Cgroup}, Why: "setns and unshare change the caller, so a process is made for it"}}
	opens, owner, others := c.joins()
	inside = append(opens, owner...)
	if c.clocksFirst() {
		inside = slices.Concat(inside, c.clocks(), others)
	} else {
		inside = append(inside, others...)
	}
	if c.New&unix.CLONE_NEWUSER != 0 {
		inside = append(inside, kernel.Call{Request: Unshare{unix.CLONE_NEWUSER}, Why: "users of its own, made after the joins that need the old ones' rights"})
		host = append(host, c.writeMaps()...)
		if !c.clocksFirst() {
			inside = append(inside, c.clocks()...)
		}
		inside = append(inside, c.awaitMaps()...)
	}
	if len(owner) > 0 {
		inside = append(inside, kernel.Call{
			Request: BecomeRoot{}, Ignore: []unix.Errno{unix.EINVAL}, // a namespace need not map id 0
			Why: "the set-up runs as root of the joined user namespace",
		})
	}
	return host, append(inside, kernel.Call{
		Request: MoveOn{c.New &^ (unix.CLONE_NEWUSER | unix.CLONE_NEWTIME)},
		Why:     "PID and time namespaces hold only for processes made now",
	})
}

// joins enters the namespaces that are there already, in the order of [Kinds]: all files are opened,
// then the user namespace is entered as the owner of the others, then those.
func (c Config) joins() (opens, owner, others []kernel.Call) {
	order := Kinds()
	joins := slices.Clone(c.Joins)
	slices.SortStableFunc(joins, func(a, b Join) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	for _, j := range joins {
		opens = append(opens, kernel.Call{Request: Open(j), Why: "opened while its path can still be seen"})
		enter := kernel.Call{Request: j, Why: "shared with whoever is in it"}
		if j.Kind == User {
			owner = append(owner, enter)
		} else {
			others = append(others, enter)
		}
	}
	return opens, owner, others
}

// clocksFirst tells whether the time namespace is made before the joins. It is, unless only a new user
// namespace gives the right to it: the offsets are written to the host's /proc/self, which a joined
// mount namespace doesn't have. Who joins one and makes a user namespace has the right anyway.
func (c Config) clocksFirst() bool {
	joinsMounts := slices.ContainsFunc(c.Joins, func(j Join) bool { return j.Kind == Mount })
	return c.New&unix.CLONE_NEWUSER == 0 || joinsMounts
}

// clocks makes the time namespace and sets its clocks, as the user who made the process: one who has
// changed his user id doesn't own his /proc/self any more (proc(5), prctl(2) PR_SET_DUMPABLE).
func (c Config) clocks() []kernel.Call {
	if c.New&unix.CLONE_NEWTIME == 0 {
		return nil
	}
	unshare := kernel.Call{Request: Unshare{unix.CLONE_NEWTIME}, Why: "clocks of its own, for the children of the caller"}
	return append([]kernel.Call{unshare}, c.setOffsets()...)
}

// writeMaps lets the host write the id maps while the process waits.
func (c Config) writeMaps() []kernel.Call {
	calls := []kernel.Call{{Request: kernel.Await{Point: pointMaps}, Why: "the user namespace is there now"}}
	write := func(file, data, why string) {
		calls = append(calls, kernel.Call{Request: kernel.WriteFile{Path: "/proc/$pid/" + file, Data: data}, Why: why})
	}
	const why = "which ids outside the ids of the container are"
	switch c.Mapping {
	case Helpers:
		calls = append(calls,
			kernel.Call{Request: Helper{"newuidmap", c.UIDs}, Why: why + ", as /etc/subuid allows"},
			kernel.Call{Request: Helper{"newgidmap", c.GIDs}, Why: why + ", as /etc/subgid allows"})
	case Single:
		write("uid_map", MapText(c.UIDs), why)
		write("setgroups", "deny", "else an ordinary user could drop a group that denies him something")
		write("gid_map", MapText(c.GIDs), why)
	case Privileged:
		write("uid_map", MapText(c.UIDs), why)
		write("gid_map", MapText(c.GIDs), why)
	}
	return append(calls, kernel.Call{Request: kernel.Release{Point: pointMaps}, Why: "the ids are mapped"})
}

// awaitMaps waits for the maps and then becomes root of the user namespace.
func (c Config) awaitMaps() []kernel.Call {
	return []kernel.Call{
		{Request: kernel.Wait{Point: pointMaps}, Why: "until then the process has no id that means anything"},
		{Request: BecomeRoot{}, Why: "the set-up runs as root of the new user namespace"},
	}
}

// setOffsets writes the clock offsets before any process is in the time namespace.
func (c Config) setOffsets() []kernel.Call {
	var lines []string
	for clock, o := range c.Offsets {
		lines = append(lines, fmt.Sprintf("%s %d %d\n", clock, o.Seconds, o.Nanoseconds))
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	return []kernel.Call{{
		Request: kernel.WriteFile{Path: "/proc/self/timens_offsets", Data: strings.Join(lines, "")},
		Why:     "fixed as soon as a process is in the namespace",
	}}
}

// names sets host and domain name and brings up the loopback.
func (c Config) names() []kernel.Call {
	var calls []kernel.Call
	if c.Hostname != "" {
		calls = append(calls, kernel.Call{Request: Hostname{c.Hostname}, Why: "the name by which the container calls itself"})
	}
	if c.Domainname != "" {
		calls = append(calls, kernel.Call{Request: Domainname{c.Domainname}, Why: "the NIS domain of the container"})
	}
	if c.Loopback {
		calls = append(calls, kernel.Call{Request: LinkUp{"lo"}, Why: "a new network namespace has a loopback device that is down"})
	}
	return calls
}

// MapText is an id map as /proc/PID/uid_map takes it: a line "inside outside size" for each range.
func MapText(maps []IDMap) string {
	var b strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&b, "%d %d %d\n", m.Inside, m.Outside, m.Size)
	}
	return b.String()
}
