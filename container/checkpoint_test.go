// SPDX-License-Identifier: Apache-2.0

package container

import (
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/namespaces"
)

// TestCheckpointRefusals gives options that can't be done, and some that can.
func TestCheckpointRefusals(t *testing.T) {
	images := Images{Path: "images"}
	for name, test := range map[string]struct {
		options interface{ check() error }
		want    string // a part of the error, "" for none
	}{
		"plain":                   {CheckpointOptions{Images: images}, ""},
		"all":                     {CheckpointOptions{Images: Images{Path: "x", Cgroups: "ignore", LazyPages: true}, PageServer: "[::1]:27", StatusFD: 5}, ""},
		"absolute parent":         {CheckpointOptions{Images: images, Parent: "/x"}, "--parent-path /x"},
		"page server, no port":    {CheckpointOptions{Images: images, PageServer: "localhost"}, `--page-server "localhost"`},
		"page server, no address": {CheckpointOptions{Images: images, PageServer: ":27"}, `--page-server ":27"`},
		"page server, port 0":     {CheckpointOptions{Images: images, PageServer: "a:0"}, `--page-server "a:0"`},
		"page server, large port": {CheckpointOptions{Images: images, PageServer: "a:65536"}, `--page-server "a:65536"`},
		"status alone":            {CheckpointOptions{Images: images, StatusFD: 3}, "--status-fd"},
		"lazy without server":     {CheckpointOptions{Images: Images{Path: "x", LazyPages: true}}, "--page-server"},
		"lazy and pre-dump":       {CheckpointOptions{Images: Images{Path: "x", LazyPages: true}, PageServer: "a:1", PreDump: true}, "--pre-dump"},
		"cgroups":                 {CheckpointOptions{Images: Images{Path: "x", Cgroups: "hard"}}, `--manage-cgroups-mode "hard"`},
		"no folder":               {CheckpointOptions{}, "--image-path"},
		"restore":                 {RestoreOptions{Images: images, Profile: "apparmor:x"}, ""},
		"no pivot":                {RestoreOptions{Images: images, Options: Options{NoPivot: true}}, "--no-pivot"},
		"profile without name":    {RestoreOptions{Images: images, Profile: "apparmor"}, `--lsm-profile "apparmor"`},
		"profile of what?":        {RestoreOptions{Images: images, Profile: "tomoyo:x"}, `--lsm-profile "tomoyo:x"`},
		"cgroups of a restore":    {RestoreOptions{Images: Images{Path: "x", Cgroups: "Soft"}}, `--manage-cgroups-mode "Soft"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.options.check()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestCheckpointRequest compares what CRIU is asked for with the options, in the form in which it gets it.
func TestCheckpointRequest(t *testing.T) {
	b := &Bundle{Dir: "/bundle", Spec: &specs.Spec{Root: &specs.Root{Path: "rootfs"}}}
	common := func(log string) *rpc.CriuOpts {
		return &rpc.CriuOpts{
			LogLevel: new(int32(4)), LogFile: new(log), NotifyScripts: new(true), OrphanPtsMaster: new(true), ManageCgroups: new(true),
			EmptyNs: new(uint32(unix.CLONE_NEWNET)), TcpEstablished: new(false), ExtUnixSk: new(false), ShellJob: new(false),
			FileLocks: new(false), AutoDedup: new(false), LazyPages: new(false), ConfigFile: new("/etc/criu/runc.conf"),
		}
	}
	plain := common("dump.log")
	plain.Pid, plain.Root, plain.LeaveRunning = new(int32(7)), new("/bundle/rootfs"), new(false)
	all := common("dump.log")
	all.Pid, all.Root, all.LeaveRunning, all.FreezeCgroup = new(int32(7)), new("/bundle/rootfs"), new(true), new("/cg/x")
	all.TcpEstablished, all.ExtUnixSk, all.ShellJob, all.FileLocks, all.AutoDedup, all.LazyPages = new(true), new(true), new(true), new(true), new(true), new(true)
	all.ManageCgroupsMode, all.ParentImg, all.TrackMem = new(rpc.CriuCgMode_FULL), new("../old"), new(true)
	all.Ps = &rpc.CriuPageServerInfo{Address: new("::1"), Port: new(int32(27))}
	restore := common("restore.log")
	restore.Root, restore.RstSibling, restore.EvasiveDevices = new("/root"), new(true), new(true)
	restore.LsmProfile, restore.LsmMountContext = new("selinux:x"), new("context")
	for name, test := range map[string]struct{ got, want *rpc.CriuOpts }{
		"plain": {CheckpointOptions{Images: Images{Path: "i"}}.dump(b, 7, ""), plain},
		"all": {CheckpointOptions{
			Images: Images{Path: "i", TCPEstablished: true, ExternalSockets: true, ShellJob: true, FileLocks: true, AutoDedup: true, LazyPages: true, Cgroups: "full"},
			Parent: "../old", LeaveRunning: true, PageServer: "[::1]:27",
		}.dump(b, 7, "/cg/x"), all},
		"restore": {RestoreOptions{Images: Images{Path: "i"}, Profile: "selinux:x", MountContext: "context"}.restore(b, "/root"), restore},
	} {
		if diff := cmp.Diff(test.want.MarshalProtoText(), test.got.MarshalProtoText()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	b.Spec.Annotations = map[string]string{"org.criu.config": "/own.conf"}
	if got := (CheckpointOptions{}).dump(b, 7, "").GetConfigFile(); got != "/own.conf" {
		t.Errorf("the configuration file of the annotation: %q", got)
	}
	b.Spec.Annotations["org.criu.config"] = ""
	if got := (CheckpointOptions{}).dump(b, 7, ""); got.ConfigFile != nil {
		t.Errorf("without a configuration file: %q", *got.ConfigFile)
	}
}

// TestCheckRestorable refuses what CRIU could not restore.
func TestCheckRestorable(t *testing.T) {
	devices := &specs.Spec{Linux: &specs.Linux{NetDevices: map[string]specs.LinuxNetDevice{"eth0": {}}}}
	if err := checkRestorable(devices, nil); err == nil || !strings.Contains(err.Error(), "linux.netDevices") {
		t.Errorf("network devices: %v", err)
	}
	plain := specs.Mount{Destination: "/x", Type: "bind", Options: []string{"bind"}}
	mapped := specs.Mount{Destination: "/x", Type: "bind", Options: []string{"bind", "ridmap"}}
	for name, test := range map[string]struct {
		mount  specs.Mount
		joined namespaces.Kind
		want   string
	}{
		"nothing": {plain, "", ""}, "network": {plain, namespaces.Network, ""}, "ipc": {plain, namespaces.IPC, ""},
		"mount": {plain, namespaces.Mount, "mnt namespace"}, "cgroup": {plain, namespaces.Cgroup, "cgroup namespace"},
		"time": {plain, namespaces.Time, "time namespace"}, "id-mapped": {mapped, "", "id-mapped"},
	} {
		err := checkRestorable(&specs.Spec{Mounts: []specs.Mount{test.mount}}, map[namespaces.Kind]bool{test.joined: true})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// TestExternalMounts follows what a container is lent, with the mounts that came along, from one mountinfo to another.
func TestExternalMounts(t *testing.T) {
	const inside = `60 50 254:0 /r / rw - ext4 /dev/vda rw
61 60 0:22 / /proc rw - proc proc rw
62 60 254:0 /lend /with\040blank rw - ext4 /dev/vda rw
63 62 0:30 / /with\040blank/sub rw - tmpfs tmpfs rw
64 62 0:31 / /with\040blank/own rw - tmpfs tmpfs rw
65 60 254:0 /one /one rw - ext4 /dev/vda rw
66 65 0:32 / /one/sub rw - tmpfs tmpfs rw
`
	list := []lent{{inside: "/with blank", outside: "/lend", recursive: true}, {inside: "/one", outside: "/one.d"}}
	planned := []string{"/proc", "/with blank", "/with blank/own", "/one"}
	want := []string{"/with blank=/with blank", "/one=/one", "/with blank/sub=/with blank/sub"}
	if diff := cmp.Diff(want, pairs(externals(withMountsInside(list, mountPoints(inside), planned), false))); diff != "" {
		t.Errorf("checkpoint: (-want +got)\n%s", diff)
	}
	const outside = `20 1 254:0 / / rw - ext4 /dev/vda rw
21 20 0:30 / /lend/sub rw - tmpfs tmpfs rw
22 20 0:31 / /lender rw - tmpfs tmpfs rw
23 20 0:32 / /one.d/sub rw - tmpfs tmpfs rw
`
	want = []string{"/with blank=/lend", "/one=/one.d", "/with blank/sub=/lend/sub"}
	if diff := cmp.Diff(want, pairs(externals(withMountsOutside(list, mountPoints(outside)), true))); diff != "" {
		t.Errorf("restore: (-want +got)\n%s", diff)
	}
	if got := mountIDs(inside); !slices.Equal(got, []string{"60", "61", "62", "63", "64", "65", "66"}) {
		t.Errorf("ids: %q", got)
	}
}

// pairs prints maps.
func pairs(maps []*rpc.ExtMountMap) []string {
	var list []string
	for _, m := range maps {
		list = append(list, m.GetKey()+"="+m.GetVal())
	}
	return list
}

// TestComplaints picks lines of CRIU's logs.
func TestComplaints(t *testing.T) {
	for name, test := range map[string]struct{ log, want string }{
		"errors":    {"a\n(00.1) Error (criu/a.c:1): x: y\nb\n(00.2) Error (criu/b.c:2): z\nc\n", "(00.1) Error (criu/a.c:1): x: y\n(00.2) Error (criu/b.c:2): z"},
		"many":      {strings.Repeat("Error (x): 1\n", 9) + "Error (x): 2\n", "Error (x): 1\nError (x): 1\nError (x): 1\nError (x): 2"},
		"no errors": {"one\ntwo\n", "two"}, "nothing": {"", ""},
	} {
		if got := complaints(test.log); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestNoCRIU looks for a program that is not there.
func TestNoCRIU(t *testing.T) {
	if got, err := lookCRIU("criu-of-no-machine", "/nonexistent/criu"); err == nil || !strings.Contains(err.Error(), "not installed") || !strings.Contains(err.Error(), "apt-get install criu") {
		t.Errorf("got %q, %v", got, err)
	}
}
