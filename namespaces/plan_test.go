// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// texts are the calls of a list as explain prints them; each call must have its reason.
func texts(t testing.TB, list []kernel.Call) []string {
	t.Helper()
	var found []string
	for _, c := range list {
		if c.Why == "" {
			t.Errorf("no reason for: %s", c)
		}
		found = append(found, c.String())
	}
	return found
}

func TestPlan(t *testing.T) {
	root := []IDMap{{0, 1000, 1}}
	many := []IDMap{{0, 1000, 1}, {1, 100000, 65536}}
	const users, clocks = unix.CLONE_NEWUSER, unix.CLONE_NEWTIME
	join := func(kinds ...Kind) []Join {
		var joins []Join
		for _, k := range kinds {
			joins = append(joins, Join{k, k.Path(7)})
		}
		return joins
	}
	tomorrow := map[string]Offset{"monotonic": {86400, 5}, "boottime": {-1, 0}}
	const offsets = `write "boottime -1 0\nmonotonic 86400 5\n" to /proc/self/timens_offsets`
	maps := func(calls ...string) []string {
		return append(append([]string{"wait for the container at: the id maps"}, calls...), "let the container go on: the id maps")
	}
	awaited := []string{"wait until the host has done: the id maps", "become root of the user namespace"}
	for name, c := range map[string]struct {
		config       Config
		host, inside []string
	}{
		"nothing": {Config{}, []string{"clone a process"}, nil},
		"names": {
			Config{New: unix.CLONE_NEWUTS | unix.CLONE_NEWNET, Hostname: "box", Domainname: "here", Loopback: true},
			[]string{"clone a process into new namespaces: network, UTS"},
			[]string{"set the host name to box", "set the domain name to here", "bring up the network device lo"},
		},
		"root's map": {
			Config{New: users | unix.CLONE_NEWNS, UIDs: many, GIDs: root},
			append([]string{"clone a process into new namespaces: user, mount"},
				maps(`write "0 1000 1\n1 100000 65536\n" to /proc/$pid/uid_map`, `write "0 1000 1\n" to /proc/$pid/gid_map`)...),
			awaited,
		},
		"a user's own map": {
			Config{New: users, UIDs: root, GIDs: root, Mapping: Single},
			append([]string{"clone a process into new namespaces: user"},
				maps(`write "0 1000 1\n" to /proc/$pid/uid_map`, `write "deny" to /proc/$pid/setgroups`, `write "0 1000 1\n" to /proc/$pid/gid_map`)...),
			awaited,
		},
		"helpers": {
			Config{New: users, UIDs: many, GIDs: many, Mapping: Helpers},
			append([]string{"clone a process into new namespaces: user"}, maps("newuidmap 0 1000 1 1 100000 65536", "newgidmap 0 1000 1 1 100000 65536")...),
			awaited,
		},
		"clocks": {
			Config{New: clocks | unix.CLONE_NEWPID, Offsets: tomorrow},
			[]string{"clone a process"},
			[]string{"unshare: time", offsets, "go on in a child with new namespaces: PID"},
		},
		"clocks as they are": {Config{New: clocks}, []string{"clone a process"}, []string{"unshare: time", "go on in a child"}},
		"clocks and users": {
			Config{New: clocks | users | unix.CLONE_NEWPID, UIDs: root, GIDs: root, Offsets: tomorrow},
			append([]string{"clone a process"}, maps(`write "0 1000 1\n" to /proc/$pid/uid_map`, `write "0 1000 1\n" to /proc/$pid/gid_map`)...),
			append(append([]string{"unshare: user", "unshare: time", offsets}, awaited...), "go on in a child with new namespaces: PID"),
		},
		"joins in order": {
			Config{New: unix.CLONE_NEWUTS, Joins: join(Mount, Time, PID, User, Network), Hostname: "box"},
			[]string{"clone a process"},
			[]string{
				"open the user namespace /proc/7/ns/user", "open the net namespace /proc/7/ns/net", "open the pid namespace /proc/7/ns/pid",
				"open the time namespace /proc/7/ns/time", "open the mnt namespace /proc/7/ns/mnt",
				"join the user namespace /proc/7/ns/user", "join the net namespace /proc/7/ns/net", "join the pid namespace /proc/7/ns/pid",
				"join the time namespace /proc/7/ns/time", "join the mnt namespace /proc/7/ns/mnt", "become root of the user namespace",
				"go on in a child with new namespaces: UTS", "set the host name to box",
			},
		},
		"clocks before joined mounts": {
			Config{New: clocks, Joins: join(User, Mount), Offsets: tomorrow},
			[]string{"clone a process"},
			[]string{
				"open the user namespace /proc/7/ns/user", "open the mnt namespace /proc/7/ns/mnt", "join the user namespace /proc/7/ns/user",
				"unshare: time", offsets, "join the mnt namespace /proc/7/ns/mnt", "become root of the user namespace", "go on in a child",
			},
		},
		"clocks, joined mounts, new users": {
			Config{New: clocks | users, Joins: join(Mount), UIDs: root, GIDs: root, Offsets: tomorrow},
			append([]string{"clone a process"}, maps(`write "0 1000 1\n" to /proc/$pid/uid_map`, `write "0 1000 1\n" to /proc/$pid/gid_map`)...),
			append(append([]string{"open the mnt namespace /proc/7/ns/mnt", "unshare: time", offsets, "join the mnt namespace /proc/7/ns/mnt", "unshare: user"}, awaited...), "go on in a child"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, inside := c.config.Plan()
			if diff := cmp.Diff(c.host, texts(t, host)); diff != "" {
				t.Errorf("host side (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.inside, texts(t, inside)); diff != "" {
				t.Errorf("container side (-want +got):\n%s", diff)
			}
		})
	}
}

func TestShell(t *testing.T) {
	for want, r := range map[string]kernel.Request{
		"nsenter --mount=/proc/7/ns/mnt":                        Join{Mount, "/proc/7/ns/mnt"},
		"nsenter --net='/run/my net'":                           Join{Network, "/run/my net"},
		"unshare --user --time":                                 Unshare{unix.CLONE_NEWUSER | unix.CLONE_NEWTIME},
		"unshare --pid --fork":                                  MoveOn{unix.CLONE_NEWPID},
		"unshare --fork":                                        MoveOn{},
		"hostname 'a b'":                                        Hostname{"a b"},
		"printf %s here > /proc/sys/kernel/domainname":          Domainname{"here"},
		"ip link set lo up":                                     LinkUp{"lo"},
		`newuidmap "$pid" 0 1000 1 1 100000 65536`:              Helper{"newuidmap", []IDMap{{0, 1000, 1}, {1, 100000, 65536}}},
		"touch /run/x && mount --bind /proc/$pid/ns/net /run/x": Keep{Network, "/run/x"},
		"setpriv --reuid 0 --regid 0 --keep-groups":             BecomeRoot{},
		"": Open{Network, "/run/x"},
	} {
		if got := r.Shell(); got != want {
			t.Errorf("%T: %q, want %q", r, got, want)
		}
	}
}

// TestKinds checks that flags, names of the OCI configuration and files belong together, for all kinds.
func TestKinds(t *testing.T) {
	names := map[string]Kind{"cgroup": Cgroup, "ipc": IPC, "mount": Mount, "network": Network, "pid": PID, "time": Time, "user": User, "uts": UTS}
	flags := uintptr(0)
	for name, want := range names {
		kind, err := KindOf(name)
		if kind != want || err != nil || kind.Flag() == 0 || flags&kind.Flag() != 0 {
			t.Errorf("%s: kind %q, flag %#x, %v", name, kind, kind.Flag(), err)
		}
		flags |= kind.Flag()
	}
	if len(Kinds()) != len(names) {
		t.Errorf("%d kinds, want %d", len(Kinds()), len(names))
	}
	for _, wrong := range []string{"", "mnt", "net", "Mount", "pid_for_children"} {
		if kind, err := KindOf(wrong); err == nil {
			t.Errorf("%q is %q, want an error", wrong, kind)
		}
	}
	if Kind("x").Flag() != 0 {
		t.Error("an unknown kind has a flag")
	}
}

func ExampleConfig_Plan() {
	c := Config{
		New:      unix.CLONE_NEWUSER | unix.CLONE_NEWUTS,
		UIDs:     []IDMap{{Inside: 0, Outside: 1000, Size: 1}},
		GIDs:     []IDMap{{Inside: 0, Outside: 1000, Size: 1}},
		Mapping:  Single,
		Hostname: "box",
	}
	host, inside := c.Plan()
	for _, step := range (kernel.Program{Host: host, Container: inside}).Steps() {
		fmt.Println(step)
	}
	// Output:
	// host call 1 of 6: clone a process into new namespaces: user, UTS
	// container call 1 of 3: wait until the host has done: the id maps
	// host call 2 of 6: wait for the container at: the id maps
	// host call 3 of 6: write "0 1000 1\n" to /proc/$pid/uid_map
	// host call 4 of 6: write "deny" to /proc/$pid/setgroups
	// host call 5 of 6: write "0 1000 1\n" to /proc/$pid/gid_map
	// host call 6 of 6: let the container go on: the id maps
	// container call 2 of 3: become root of the user namespace
	// container call 3 of 3: set the host name to box
}

func ExampleMapText() {
	fmt.Print(MapText([]IDMap{{Inside: 0, Outside: 1000, Size: 1}, {Inside: 1, Outside: 100000, Size: 65536}}))
	// Output:
	// 0 1000 1
	// 1 100000 65536
}
