// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

var update = flag.Bool("update", false, "write the golden files anew")

// requests are the requests of calls; each call must have its reason.
func requests(t testing.TB, list []kernel.Call) []kernel.Request {
	t.Helper()
	var found []kernel.Request
	for _, c := range list {
		if c.Why == "" {
			t.Errorf("no reason for: %s", c)
		}
		found = append(found, c.Request)
	}
	return found
}

func TestPlannedMounts(t *testing.T) {
	const readOnly, nosuid = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID
	bind := Bind{Source: "/from", Target: "/to"}
	finished := func(attributes ...Attributes) Bind {
		return Bind{Source: "/from", Target: "/to", Finish: Finish{Attributes: attributes}}
	}
	for name, c := range map[string]struct {
		kind    string
		options string
		want    []kernel.Request
	}{
		"new":           {"tmpfs", "nosuid,size=1m,mode=755", []kernel.Request{Mount{"tmpfs", "/from", "/to", unix.MS_NOSUID, "size=1m,mode=755"}}},
		"bind":          {"bind", "bind", []kernel.Request{bind}},
		"rbind":         {"none", "rbind", []kernel.Request{Bind{Source: "/from", Target: "/to", Recursive: true}}},
		"read-only":     {"bind", "bind,ro", []kernel.Request{finished(Attributes{Set: readOnly})}},
		"last one wins": {"bind", "ro,bind,rw,nosuid,suid,nosuid", []kernel.Request{finished(Attributes{Set: nosuid, Clear: readOnly})}},
		"access time":   {"bind", "bind,noatime", []kernel.Request{finished(Attributes{Set: unix.MOUNT_ATTR_NOATIME, Clear: unix.MOUNT_ATTR__ATIME})}},
		"recursive": {"bind", "rbind,rro,rnoexec,rexec", []kernel.Request{
			Bind{Source: "/from", Target: "/to", Recursive: true, Finish: Finish{
				Attributes: []Attributes{{Set: readOnly, Clear: unix.MOUNT_ATTR_NOEXEC, Recursive: true}},
			}},
		}},
		"one before all": {"bind", "bind,rrw,ro", []kernel.Request{
			finished(Attributes{Set: readOnly}, Attributes{Clear: readOnly, Recursive: true}),
		}},
		"new, finished after": {"tmpfs", "rro,shared", []kernel.Request{
			Mount{"tmpfs", "/from", "/to", 0, ""},
			Attributes{Target: "/to", Set: readOnly, Recursive: true},
			Propagation{Target: "/to", Flags: unix.MS_SHARED},
		}},
		"propagation in order": {"bind", "bind,rprivate,shared", []kernel.Request{
			Bind{Source: "/from", Target: "/to", Finish: Finish{Propagation: []uintptr{unix.MS_PRIVATE | unix.MS_REC, unix.MS_SHARED}}},
		}},
		"remount":           {"", "remount,ro,bind", []kernel.Request{Attributes{Target: "/to", Set: readOnly}}},
		"remount of all":    {"", "remount,rbind,ro", []kernel.Request{Attributes{Target: "/to", Set: readOnly, Recursive: true}}},
		"remount with data": {"", "remount,nosuid,size=1m", []kernel.Request{Attributes{Target: "/to", Set: nosuid}, Remount{"/to", "size=1m"}}},
		"a file system's":   {"ext4", "sync,lazytime,data=journal", []kernel.Request{Mount{"ext4", "/from", "/to", unix.MS_SYNCHRONOUS | unix.MS_LAZYTIME, "data=journal"}}},
		"copy up":           {"tmpfs", "tmpcopyup", []kernel.Request{PlaceTree{Tree: "tree1", Target: "/to", Command: `exec 9<"$root"/to && mount -t tmpfs tmpfs "$root"/to && cp -a /proc/self/fd/9/.`}}},
		"copy up, finished": {"tmpfs", "tmpcopyup,ro,rnoexec,private", []kernel.Request{PlaceTree{
			Tree: "tree1", Target: "/to",
			Finish:  Finish{Attributes: []Attributes{{Set: unix.MOUNT_ATTR_NOEXEC, Recursive: true}}, Propagation: []uintptr{unix.MS_PRIVATE}},
			Command: `exec 9<"$root"/to && mount -t tmpfs tmpfs "$root"/to && cp -a /proc/self/fd/9/. "$root"/to && mount -o remount,bind,ro`,
		}}},
		"id map": {"bind", "bind,idmap,ro,slave", []kernel.Request{PlaceTree{
			Tree: "tree1", Target: "/to",
			Finish:  Finish{Attributes: []Attributes{{Set: readOnly}}, Propagation: []uintptr{unix.MS_SLAVE}},
			Command: "mount --bind -o X-mount.idmap=u:0:5:1 /from",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := MountPoint{Type: c.kind, Source: "/from", Target: "/to", Options: ParseOptions(strings.Split(c.options, ","))}
			if m.Options.IDMap {
				m.UIDs = []IDRange{{0, 5, 1}}
			}
			got := requests(t, Root{Path: "/r", Mounts: []MountPoint{m}}.Calls())[2:]
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlannedRoot(t *testing.T) {
	ids, others := []IDRange{{0, 1000, 10}}, []IDRange{{0, 2000, 10}}
	mapped := func(uids, gids []IDRange, options ...string) MountPoint {
		return MountPoint{Source: "/from", Target: "/to", UIDs: uids, GIDs: gids, Options: ParseOptions(append(options, "bind"))}
	}
	for name, c := range map[string]struct {
		root         Root
		host, inside []kernel.Request
	}{
		"empty": {
			root:   Root{Path: "/r"},
			inside: []kernel.Request{Propagation{"/", true, unix.MS_SLAVE | unix.MS_REC}, BindRoot{"/r"}},
		},
		"shared parent": {
			root: Root{Path: "/r", Propagation: unix.MS_SHARED, SharedParent: "/srv"},
			inside: []kernel.Request{
				Propagation{"/", true, unix.MS_SHARED}, Propagation{"/srv", true, unix.MS_PRIVATE}, BindRoot{"/r"},
			},
		},
		"protected": {
			root: Root{
				Path: "/r", ReadOnly: true, Masked: []string{"/proc/kcore"}, ReadOnlyPaths: []string{"/proc/sys"}, WorkingDir: "/work",
				Mounts: []MountPoint{{Type: "proc", Source: "proc", Target: "/proc", Options: ParseOptions([]string{"nosuid"})}},
			},
			inside: []kernel.Request{
				Propagation{"/", true, unix.MS_SLAVE | unix.MS_REC},
				BindRoot{"/r"},
				Mount{"proc", "proc", "/proc", unix.MS_NOSUID, ""},
				Folder{"/work"},
				ReadOnly{"/proc/sys", unix.MS_NOSUID},
				Mask{"/proc/kcore"},
				Attributes{Target: "/", Set: unix.MOUNT_ATTR_RDONLY},
			},
		},
		"no devices, late calls": {
			root: Root{
				Path: "/r", ReadOnly: true, NoDevices: true, WorkingDir: "/work", Late: []kernel.Call{{Request: Folder{"/late"}, Why: "a test"}},
				Mounts: []MountPoint{{Type: "tmpfs", Source: "tmpfs", Target: "/dev"}}, Masked: []string{"/etc"},
			},
			inside: []kernel.Request{
				Propagation{"/", true, unix.MS_SLAVE | unix.MS_REC},
				BindRoot{"/r"},
				Attributes{Target: "/", Set: unix.MOUNT_ATTR_NODEV},
				Mount{"tmpfs", "tmpfs", "/dev", 0, ""},
				Folder{"/work"},
				Folder{"/late"},
				Mask{"/etc"},
				Attributes{Target: "/", Set: unix.MOUNT_ATTR_RDONLY, Kept: unix.MS_NODEV},
			},
		},
		"devices": {
			root: Root{Path: "/r", Devices: DefaultDevices()[:1], Links: DefaultLinks(true)[5:]},
			inside: []kernel.Request{
				Propagation{"/", true, unix.MS_SLAVE | unix.MS_REC},
				BindRoot{"/r"},
				Device{Path: "/dev/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3},
				Symlink{"/proc/kcore", "/dev/core"},
			},
		},
		"bound devices": {
			root: Root{Path: "/r", Devices: DefaultDevices()[:1], BindDevices: true},
			inside: []kernel.Request{
				Propagation{"/", true, unix.MS_SLAVE | unix.MS_REC}, BindRoot{"/r"}, Bind{Source: "/dev/null", Target: "/dev/null", File: true},
			},
		},
		"id maps are shared": {
			root: Root{Path: "/r", Mounts: []MountPoint{mapped(ids, ids, "idmap"), mapped(ids, others, "ridmap", "rbind"), mapped(ids, ids, "idmap")}},
			host: []kernel.Request{
				MakeIDMap{ids, ids, "idmap1"},
				TakeTree{Source: "/from", IDMap: "idmap1", Propagation: unix.MS_SLAVE, Into: "tree1"},
				MakeIDMap{ids, others, "idmap2"},
				TakeTree{Source: "/from", Recursive: true, IDMap: "idmap2", RecursiveIDMap: true, Propagation: unix.MS_SLAVE, Into: "tree2"},
				TakeTree{Source: "/from", IDMap: "idmap1", Propagation: unix.MS_SLAVE, Into: "tree3"},
			},
			inside: []kernel.Request{
				Propagation{"/", true, unix.MS_SLAVE | unix.MS_REC},
				BindRoot{"/r"},
				PlaceTree{Tree: "tree1", Target: "/to", Command: "mount --bind -o 'X-mount.idmap=u:0:1000:10 g:0:1000:10' /from"},
				PlaceTree{Tree: "tree2", Target: "/to", Command: "mount --rbind -o 'X-mount.idmap=u:0:1000:10 g:0:2000:10' /from"},
				PlaceTree{Tree: "tree3", Target: "/to", Command: "mount --bind -o 'X-mount.idmap=u:0:1000:10 g:0:1000:10' /from"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.inside, requests(t, c.root.Calls())); diff != "" {
				t.Errorf("container side (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.host, requests(t, c.root.HostCalls())); diff != "" {
				t.Errorf("host side (-want +got):\n%s", diff)
			}
		})
	}
}

// wholeRoot is a root with one of everything.
func wholeRoot() Root {
	b := &box{Root: Root{Path: "/srv/root", ReadOnly: true, WorkingDir: "/home/me"}}
	b.standard()
	b.mount("bind", "/srv/it's data", "/data", "rbind", "ro", "nodev", "rslave")
	b.mount("bind", "/etc/hostname", "/etc/hostname", "bind", "rro").File = true
	b.mount("tmpfs", "tmpfs", "/var/cache", "tmpcopyup", "size=1m", "ro")
	b.mount("", "", "/dev/shm", "remount", "size=1m", "atime")
	idMapped(b, "/srv/share", "/share", "ridmap", "rbind", "ro", "rprivate")
	b.NoDevices = true
	b.Masked, b.ReadOnlyPaths = []string{"/proc/kcore", "/sys/firmware"}, []string{"/proc/sys"}
	b.Devices = append(b.Devices, Device{Path: "/dev/pipe", Mode: unix.S_IFIFO | 0o600, UID: 7, GID: 8})
	return b.Root
}

// TestWholeRootAsText compares what explain prints, and the script, with a file.
func TestWholeRootAsText(t *testing.T) {
	r := wholeRoot()
	b := &strings.Builder{}
	side := func(name string, list []kernel.Call) {
		for _, c := range list {
			fmt.Fprintf(b, "%s: %s\n  why: %s\n", name, c, c.Why)
			if shell := c.Shell(); shell != "" {
				fmt.Fprintf(b, "  $ %s\n", shell)
			}
		}
	}
	side("host", r.HostCalls())
	side("container", r.Calls())
	for _, request := range []kernel.Request{Pivot{}, MoveRoot{}, Chroot{"/srv/root"}, WorkingDir{"/home/me"}} {
		side("container", []kernel.Call{{Request: request, Why: "in the end"}})
	}
	const golden = "testdata/whole.txt"
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-want +got, go test ./chroot -run Whole -update writes it anew:\n%s", diff)
	}
}

// ociOptions are the names of the table "Linux mount options" of the OCI runtime specification 1.3.0.
const ociOptions = `
async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime nodev nodiratime
noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
rdiratime relatime remount rexec ridmap rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared
silent slave strictatime suid symfollow sync tmpcopyup unbindable
`

func TestEveryOptionOfTheSpecification(t *testing.T) {
	want := strings.Fields(ociOptions)
	slices.Sort(want)
	var got []string
	for _, name := range KnownOptions() {
		if !slices.Contains([]string{"rnodev"}, name) {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-specification +ours):\n%s", diff)
	}
	for _, name := range want {
		o := ParseOptions([]string{name})
		empty := cmp.Equal(o, Options{})
		if empty != (name == "defaults") || o.Data != "" {
			t.Errorf("%s means %+v", name, o)
		}
	}
}

// TestOpposites checks that an option and the one that takes it back leave nothing set.
func TestOpposites(t *testing.T) {
	for on, off := range map[string]string{
		"ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "noatime": "atime", "nodiratime": "diratime",
		"sync": "async", "mand": "nomand", "iversion": "noiversion", "lazytime": "nolazytime", "silent": "loud",
		"nosymfollow": "symfollow", "relatime": "norelatime", "strictatime": "nostrictatime",
	} {
		o := ParseOptions([]string{on, off})
		if o.Flags != 0 || o.Clear == 0 {
			t.Errorf("%s,%s sets %#x and clears %#x", on, off, o.Flags, o.Clear)
		}
		o = ParseOptions([]string{off, on})
		if o.Flags == 0 || o.Clear != 0 {
			t.Errorf("%s,%s sets %#x and clears %#x", off, on, o.Flags, o.Clear)
		}
	}
	for on, off := range map[string]string{"rro": "rrw", "rnosuid": "rsuid", "rnodev": "rdev", "rnoexec": "rexec", "rnodiratime": "rdiratime", "rnoatime": "ratime", "rstrictatime": "rnostrictatime", "rnosymfollow": "rsymfollow"} {
		o := ParseOptions([]string{on, off})
		if o.RecursiveSet != 0 || o.RecursiveClear == 0 {
			t.Errorf("%s,%s sets %#x and clears %#x", on, off, o.RecursiveSet, o.RecursiveClear)
		}
	}
}

// FuzzParseOptions checks for any options that a flag is never set and cleared at once, that no option
// gets lost, and that parsing twice gives the same.
func FuzzParseOptions(f *testing.F) {
	f.Add("ro,rw,nosuid")
	f.Add("rbind,rprivate,rro,rnoatime,rstrictatime")
	f.Add("size=64k,,mode=755,idmap,tmpcopyup")
	f.Fuzz(func(t *testing.T, text string) {
		options := strings.Split(text, ",")
		o := ParseOptions(options)
		if o.Flags&o.Clear != 0 {
			t.Errorf("%#x is set and cleared", o.Flags&o.Clear)
		}
		if both := o.RecursiveSet & o.RecursiveClear &^ unix.MOUNT_ATTR__ATIME; both != 0 {
			t.Errorf("%#x is set and cleared for all", both)
		}
		known := KnownOptions()
		data := slices.DeleteFunc(slices.Clone(options), func(name string) bool { return slices.Contains(known, name) })
		if want := strings.Join(data, ","); o.Data != want {
			t.Errorf("data is %q, want %q", o.Data, want)
		}
		if diff := cmp.Diff(o, ParseOptions(options)); diff != "" {
			t.Errorf("parsed again:\n%s", diff)
		}
	})
}
