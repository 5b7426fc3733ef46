// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// sentences are the calls as explain prints them.
func sentences(calls []kernel.Call) []string {
	var list []string
	for _, c := range calls {
		list = append(list, c.String())
	}
	return list
}

// wantError fails the test unless err says what.
func wantError(t *testing.T, err error, what string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("error is %v, want %q", err, what)
	}
}

func TestCapabilityNames(t *testing.T) {
	for number, name := range map[int]string{
		unix.CAP_CHOWN: "CAP_CHOWN", unix.CAP_SETPCAP: "setpcap", unix.CAP_NET_RAW: "Cap_Net_Raw", unix.CAP_SYS_ADMIN: "SYS_ADMIN",
		unix.CAP_SYS_RESOURCE: "cap_sys_resource", unix.CAP_MKNOD: "mknod", unix.CAP_SETFCAP: "setfcap", unix.CAP_SYSLOG: "SYSLOG",
		unix.CAP_PERFMON: "PERFMON", unix.CAP_BPF: "bpf", unix.CAP_CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE", unix.CAP_AUDIT_READ: "audit_read",
	} {
		if got, err := ParseCapability(name); err != nil || got != number {
			t.Errorf("%s is %d (%v), want %d", name, got, err, number)
		}
	}
	if n := len(AllCapabilities(40)); n != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities", n)
	}
	for _, bad := range []string{"", "CAP_", "ALL", "CAP_CAP_CHOWN", "chown ", "41"} {
		if n, err := ParseCapability(bad); err == nil {
			t.Errorf("%q is %d", bad, n)
		}
	}
}

func TestSetLeavesOutWhatTheKernelLacks(t *testing.T) {
	set, err := ParseSet([]string{"CAP_CHOWN", "CAP_BPF", "CAP_CHOWN"}, unix.CAP_AUDIT_READ)
	if err != nil || set != 1 {
		t.Errorf("set is %v (%v), want chown", set, err)
	}
	_, err = ParseSet([]string{"CAP_CHOWN", "CAP_CHMOD"}, 40)
	wantError(t, err, `unknown capability "CAP_CHMOD"`)
	set, err = ParseSet(DefaultCapabilities(), 40)
	if err != nil || set != 0xa80425fb {
		t.Errorf("the default set is %#x (%v), want Docker's 0xa80425fb", uint64(set), err)
	}
}

func TestAdjust(t *testing.T) {
	base := []string{"CAP_CHOWN", "CAP_KILL"}
	for name, c := range map[string]struct{ add, drop, want []string }{
		"nothing":      {nil, nil, base},
		"add":          {[]string{"net_admin"}, nil, []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN"}},
		"drop":         {nil, []string{"CAP_KILL"}, []string{"CAP_CHOWN"}},
		"drop all":     {[]string{"KILL"}, []string{"all"}, []string{"CAP_KILL"}},
		"add all":      {[]string{"ALL"}, []string{"chown", "dac_override"}, []string{"CAP_DAC_READ_SEARCH", "CAP_FOWNER"}},
		"drop to none": {nil, []string{"ALL"}, []string{}},
	} {
		got, err := Adjust(base, c.add, c.drop, 40)
		if name == "add all" {
			got, err = Adjust(nil, c.add, c.drop, 3)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	_, err := Adjust(base, []string{"fly"}, nil, 40)
	wantError(t, err, `unknown capability "fly"`)
}

func TestSetString(t *testing.T) {
	for want, set := range map[string]Set{
		"none": 0, "all": all(40), "chown, kill": 1<<0 | 1<<5, "all but sys_admin": all(40) &^ (1 << unix.CAP_SYS_ADMIN), "chown, cap_41": 1 | 1<<41,
	} {
		if set.String() != want {
			t.Errorf("%#x is %q, want %q", uint64(set), set, want)
		}
	}
}

// process is an OCI process with Docker's capabilities.
func process(uid uint32, groups ...uint32) *specs.Process {
	names := DefaultCapabilities()
	return &specs.Process{
		User:         specs.User{UID: uid, GID: uid, AdditionalGids: groups},
		Capabilities: &specs.LinuxCapabilities{Bounding: names, Effective: names[1:], Permitted: names, Inheritable: []string{"CAP_KILL", "CAP_CHOWN"}, Ambient: []string{"CAP_KILL"}},
	}
}

func TestCredentialsPlan(t *testing.T) {
	c, err := NewCredentials(process(1000, 10, 20), Facts{LastCapability: 40})
	if err != nil {
		t.Fatal(err)
	}
	held := Set(0xa80425fb)
	want := []kernel.Call{
		{Request: dropBounding{held, 40}},
		{Request: keepCapabilities{true}},
		{Request: setGroups{[]uint32{10, 20}}},
		{Request: setGroup{1000}},
		{Request: setUser{1000}},
		{Request: keepCapabilities{false}},
		{Request: setCapabilities{held &^ (1 << unix.CAP_AUDIT_WRITE), held, 1<<0 | 1<<5}},
		{Request: setAmbient{1 << 5}},
	}
	got := append(c.Become(), c.Restrict()...)
	for i := range got {
		if got[i].Why == "" {
			t.Errorf("%s has no reason", got[i])
		}
		got[i].Why = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCredentialsErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *specs.Process)
		want   string
	}{
		"effective": {func(p *specs.Process) { p.Capabilities.Permitted = nil; p.Capabilities.Ambient = nil }, "effective capabilities that are not permitted: chown"},
	} {
		p := process(0)
		c.change(p)
		_, err := NewCredentials(p, Facts{LastCapability: 40})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	_, err := NewCredentials(process(0, 4), Facts{LastCapability: 40, SetgroupsDenied: true})
	wantError(t, err, "supplementary groups [4]: setgroups is denied")
}

func TestAmbientNeedsPermittedAndInheritable(t *testing.T) {
	for name, change := range map[string]func(c *specs.LinuxCapabilities){
		"not inheritable": func(c *specs.LinuxCapabilities) { c.Inheritable = []string{"CAP_CHOWN"} },
		"not permitted":   func(c *specs.LinuxCapabilities) { c.Permitted, c.Effective = []string{"CAP_CHOWN"}, nil },
	} {
		p := process(0)
		change(p.Capabilities)
		if c, err := NewCredentials(p, Facts{LastCapability: 40}); err != nil || c.Ambient != 0 {
			t.Errorf("%s: ambient is %v (%v), want none", name, c.Ambient, err)
		}
	}
}

func TestDeniedSetgroupsIsSkipped(t *testing.T) {
	c, err := NewCredentials(process(0), Facts{LastCapability: 40, SetgroupsDenied: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range c.Become() {
		if _, ok := call.Request.(setGroups); ok {
			t.Error("setgroups is called although it is denied")
		}
	}
	if !slices.Contains(c.Setpriv(), "--keep-groups") {
		t.Errorf("setpriv is %q", c.Setpriv())
	}
}

func TestNoCapabilitiesMeansNone(t *testing.T) {
	c, err := NewCredentials(&specs.Process{}, Facts{LastCapability: 40})
	if err != nil || c.Bounding|c.Effective|c.Permitted|c.Inheritable|c.Ambient != 0 {
		t.Errorf("%+v (%v)", c, err)
	}
}

func TestLimits(t *testing.T) {
	calls, err := Limits([]specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 2048}, {Type: "RLIMIT_CORE", Soft: 0, Hard: unix.RLIM_INFINITY},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []kernel.Request{SetLimit{unix.RLIMIT_NOFILE, 1024, 2048}, SetLimit{unix.RLIMIT_CORE, 0, unix.RLIM_INFINITY}}
	if diff := cmp.Diff(want, []kernel.Request{calls[0].Request, calls[1].Request}); diff != "" {
		t.Error(diff)
	}
	for want, list := range map[string][]specs.POSIXRlimit{
		`unknown resource limit "RLIMIT_FUN"`: {{Type: "RLIMIT_FUN"}},
		`unknown resource limit "NOFILE"`:     {{Type: "NOFILE"}},
		"limit 5 is above the hard limit 4":   {{Type: "RLIMIT_AS", Soft: 5, Hard: 4}},
		"RLIMIT_AS is given twice":            {{Type: "RLIMIT_AS"}, {Type: "RLIMIT_AS"}},
	} {
		_, err := Limits(list)
		wantError(t, err, want)
	}
}

func TestOOMScoreAdj(t *testing.T) {
	for _, score := range []int{-1001, 1001} {
		_, err := OOMScoreAdj(score)
		wantError(t, err, fmt.Sprint(score))
	}
	call, err := OOMScoreAdj(-1000)
	if err != nil || call.Shell() != "printf %b -1000 > /proc/self/oom_score_adj" {
		t.Errorf("%s (%v)", call.Shell(), err)
	}
}

func TestLookUser(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\nplain:x:40:40::\n"
	const group = "root:x:0:\nwheel:x:10:root,web\nvideo:x:44:web\nstaff:x:50:\n"
	for spec, c := range map[string]struct {
		want specs.User
		home string
	}{
		"":          {specs.User{AdditionalGids: []uint32{10}}, "/root"},
		"web":       {specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{10, 44}}, "/var/www"},
		"33":        {specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{10, 44}}, "/var/www"},
		"web:staff": {specs.User{UID: 33, GID: 50}, "/var/www"},
		"1234":      {specs.User{UID: 1234}, "/"},
		"1234:77":   {specs.User{UID: 1234, GID: 77}, "/"},
		"web:0":     {specs.User{UID: 33}, "/var/www"},
		"plain":     {specs.User{UID: 40, GID: 40}, "/"},
	} {
		got, home, err := LookUser(spec, strings.NewReader(passwd), strings.NewReader(group))
		if diff := cmp.Diff(c.want, got); diff != "" || home != c.home || err != nil {
			t.Errorf("%q: home %s (%v)\n%s", spec, home, err, diff)
		}
	}
	for spec, want := range map[string]string{"nobody": `user "nobody" is not in the container's /etc/passwd`, "web:none": "/etc/group", "-1": "-1"} {
		_, _, err := LookUser(spec, strings.NewReader(passwd), strings.NewReader(group))
		wantError(t, err, want)
	}
	got, home, err := LookUser("7:8", nil, nil)
	if got.UID != 7 || got.GID != 8 || home != "/" || err != nil {
		t.Errorf("without files: %+v %s (%v)", got, home, err)
	}
	_, _, err = LookUser("web", nil, nil)
	wantError(t, err, "is not in the container's /etc/passwd")
}

func TestLookGroups(t *testing.T) {
	gids, err := LookGroups([]string{"video", "1000"}, strings.NewReader("video:x:44:\n"))
	slices.Sort(gids)
	if diff := cmp.Diff([]uint32{44, 1000}, gids); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = LookGroups([]string{"none"}, strings.NewReader(""))
	wantError(t, err, "none")
}

func TestLabels(t *testing.T) {
	armed := Facts{AppArmor: true, SELinux: true, AppArmorFolder: true}
	old := Facts{AppArmor: true}
	for name, c := range map[string]struct {
		plan       func(string, Facts) ([]kernel.Call, error)
		label      string
		facts      Facts
		path, data string
	}{
		"apparmor":            {AppArmor, "docker-default", armed, "/proc/self/attr/apparmor/exec", "exec docker-default"},
		"apparmor before 5.8": {AppArmor, "docker-default", old, "/proc/self/attr/exec", "exec docker-default"},
		"unconfined":          {AppArmor, "unconfined", armed, "/proc/self/attr/apparmor/exec", "exec unconfined"},
		"selinux":             {SELinux, "system_u:system_r:container_t:s0:c1,c2", armed, "/proc/self/attr/exec", "system_u:system_r:container_t:s0:c1,c2"},
		"nothing":             {AppArmor, "", armed, "", ""},
		"nothing to confine":  {AppArmor, "unconfined", Facts{}, "", ""},
		"no label":            {SELinux, "", armed, "", ""},
	} {
		calls, err := c.plan(c.label, c.facts)
		var want, got []kernel.Request
		if c.path != "" {
			want = []kernel.Request{kernel.WriteFile{Path: c.path, Data: c.data}}
		}
		for _, call := range calls {
			got = append(got, call.Request)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	_, err := AppArmor("docker-default", Facts{})
	wantError(t, err, `apparmor profile "docker-default" was asked for, but this kernel has no AppArmor`)
	_, err = AppArmor("a\nb", armed)
	wantError(t, err, "line breaks")
	_, err = SELinux("x", Facts{})
	wantError(t, err, `selinux label "x" was asked for, but this kernel has no SELinux`)
}

func ExampleCredentials() {
	p := &specs.Process{
		User:            specs.User{UID: 1000, GID: 1000},
		NoNewPrivileges: true,
		Capabilities:    &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}},
	}
	c, err := NewCredentials(p, Facts{LastCapability: 40})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range sentences(append(c.Become(), c.Restrict()...)) {
		fmt.Println(s)
	}
	fmt.Println(strings.Join(c.Setpriv(), " "))
	// Output:
	// limit the bounding set of capabilities to: chown, kill
	// keep the permitted capabilities when the user changes
	// leave all supplementary groups
	// become group 1000
	// become user 1000
	// forget the capabilities at the next change of user
	// set the capabilities: effective and permitted none; inheritable none
	// set the ambient capabilities: none
	// setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps -all --ambient-caps -all --bounding-set -all,+chown,+kill --no-new-privs
}

func ExampleLimits() {
	calls, err := Limits([]specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: unix.RLIM_INFINITY}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(calls[0])
	fmt.Println(calls[0].Shell())
	// Output:
	// limit nofile to 1024, at most unlimited
	// prlimit --pid $$ --nofile=1024:unlimited
}
