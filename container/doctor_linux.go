// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// Finding is one thing that containers need, and whether this machine has it.
type Finding struct {
	What  string
	OK    bool
	Found string
	// Touches says what does not work without it.
	Touches string
}

// Examine tries what the kernel offers and what is installed. It asks by trying, never by comparing
// versions, and changes nothing.
func Examine() []Finding {
	var all []Finding
	all = append(all, examineNamespaces()...)
	all = append(all, examineCalls()...)
	all = append(all, examineSecurity()...)
	all = append(all, examineCgroups(), examineFileSystems(), examineHelpers())
	return all
}

// examineNamespaces makes a process in each kind of namespace.
func examineNamespaces() []Finding {
	touches := map[namespaces.Kind]string{
		namespaces.Cgroup: "containers see the host's cgroup paths", namespaces.Time: "steps/06-names, timeOffsets",
		namespaces.User: "containers of ordinary users, --user-ns, steps/09-user",
	}
	var findings []Finding
	for _, kind := range namespaces.Kinds() {
		f := Finding{What: string(kind) + " namespace", Found: "made one", OK: true, Touches: touches[kind]}
		if f.Touches == "" {
			f.Touches = "nearly every container"
		}
		if err := tryNamespace(kind); err != nil {
			f.OK, f.Found = false, err.Error()
		}
		findings = append(findings, f)
	}
	return findings
}

// tryNamespace makes a process in a new namespace, which ends at once. An ordinary user needs a user
// namespace around the others.
func tryNamespace(kind namespaces.Kind) error {
	c := namespaces.Config{New: kind.Flag()}
	if os.Geteuid() != 0 || kind == namespaces.User {
		c.New |= unix.CLONE_NEWUSER
		c.Mapping = namespaces.Single
		c.UIDs = []namespaces.IDMap{{Outside: uint32(os.Geteuid()), Size: 1}}
		c.GIDs = []namespaces.IDMap{{Outside: uint32(os.Getegid()), Size: 1}}
	}
	host, inside := c.Plan()
	process, err := kernel.Program{Host: host, Container: inside}.Start(kernel.Options{})
	if err != nil {
		var call *kernel.CallError
		if errors.As(err, &call) {
			return call.Err
		}
		return err
	}
	_, err = process.Wait()
	return err
}

// examineCalls makes newer system calls with arguments that can't work: a kernel that has the call
// complains about them, one that hasn't says ENOSYS.
func examineCalls() []Finding {
	bad := ^uintptr(0)
	calls := []struct {
		name, since, touches string
		number               uintptr
	}{
		{"openat2", "5.6", "every container: paths inside a hostile root", unix.SYS_OPENAT2},
		{"close_range", "5.11", "every container: descriptors of the host", unix.SYS_CLOSE_RANGE},
		{"mount_setattr", "5.12", "read-only binds and paths, id-mapped mounts", unix.SYS_MOUNT_SETATTR},
		{"open_tree", "5.2", "id-mapped mounts", unix.SYS_OPEN_TREE},
		{"clone3", "5.3", "cgroup v2 from the first instruction", unix.SYS_CLONE3},
	}
	var findings []Finding
	for _, c := range calls {
		_, _, errno := unix.RawSyscall6(c.number, bad, bad, bad, bad, bad, bad)
		f := Finding{What: c.name + " call", OK: errno != unix.ENOSYS, Found: "there", Touches: c.touches}
		if !f.OK {
			f.Found = "missing; Linux " + c.since + " has it"
		}
		findings = append(findings, f)
	}
	return findings
}

// examineSecurity looks at seccomp, the security modules and the caller's own capabilities.
func examineSecurity() []Finding {
	facts, err := security.ReadFacts()
	if err != nil {
		return []Finding{{What: "capabilities", Found: err.Error(), Touches: "every container"}}
	}
	actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	seccomp := Finding{What: "seccomp filters", OK: err == nil, Found: strings.TrimSpace(string(actions)), Touches: "stave run, steps/11-seccomp"}
	if err != nil {
		seccomp.Found = "this kernel has none"
	}
	return []Finding{
		seccomp,
		{What: "AppArmor", OK: facts.AppArmor, Found: presence(facts.AppArmor), Touches: "configurations with process.apparmorProfile are refused"},
		{What: "SELinux", OK: facts.SELinux, Found: presence(facts.SELinux), Touches: "configurations with process.selinuxLabel are refused"},
		examineCapabilities(facts.LastCapability),
	}
}

// presence says whether a part of the kernel is there.
func presence(is bool) string {
	if is {
		return "switched on"
	}
	return "not in this kernel, or switched off"
}

// examineCapabilities compares the caller's permitted capabilities with all that the kernel has.
func examineCapabilities(last int) Finding {
	f := Finding{What: "your capabilities", Touches: "raising limits (SYS_RESOURCE), devices (MKNOD), and what each is for"}
	if os.Geteuid() != 0 {
		f.OK, f.Found = true, "an ordinary user: a container's are those of its user namespace"
		return f
	}
	missing := missingCapabilities(last)
	f.OK, f.Found = len(missing) == 0, "all"
	if !f.OK {
		f.Found = "missing: " + strings.ReplaceAll(strings.Join(missing, ", "), "CAP_", "")
	}
	return f
}

// missingCapabilities lists those that are not in the caller's bounding set (PR_CAPBSET_READ, prctl(2)):
// whatever it executes can't have them.
func missingCapabilities(last int) []string {
	var missing []string
	for n, name := range security.AllCapabilities(last) {
		if v, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); err != nil || v == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}

// examineCgroups finds the layout.
func examineCgroups() Finding {
	f := Finding{What: "cgroups", Touches: "limits"}
	layout, err := cgroups.Read()
	if err != nil {
		f.Found = err.Error()
		return f
	}
	words := map[string]string{
		cgroups.Mixed: "mixed: version 1 controllers beside a version 2 tree", cgroups.V1: "version 1",
		cgroups.V2: "version 2", cgroups.None: "none is mounted",
	}
	f.OK, f.Found = layout.Kind() != cgroups.None, words[layout.Kind()]
	return f
}

// examineFileSystems looks for the file systems containers mount.
func examineFileSystems() Finding {
	f := Finding{What: "file systems", Touches: "mounts of those types"}
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		f.Found = err.Error()
		return f
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 0 {
			known[fields[len(fields)-1]] = true
		}
	}
	var there, missing []string
	for _, name := range []string{"proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay", "fuse", "btrfs"} {
		if known[name] {
			there = append(there, name)
		} else {
			missing = append(missing, name)
		}
	}
	f.OK, f.Found = len(missing) == 0, strings.Join(there, ", ")
	if !f.OK {
		f.Found = fmt.Sprintf("missing, or a module that is not loaded: %s", strings.Join(missing, ", "))
	}
	return f
}

// examineHelpers looks for newuidmap and newgidmap, and the caller's ranges.
func examineHelpers() Finding {
	f := Finding{What: "ids for ordinary users", Touches: "containers of ordinary users have one id only"}
	uids, gids := subordinate(os.Geteuid())
	switch {
	case !hasHelper("newuidmap") || !hasHelper("newgidmap"):
		f.Found = "newuidmap and newgidmap are not installed (Debian: uidmap)"
	case os.Geteuid() == 0:
		f.OK, f.Found = true, "newuidmap and newgidmap are installed"
	case len(uids) == 0 || len(gids) == 0:
		f.Found = fmt.Sprintf("no range for you in %s or %s", filepath.Join("/etc", "subuid"), filepath.Join("/etc", "subgid"))
	default:
		f.OK, f.Found = true, fmt.Sprintf("%d from %d on", uids[0].Size, uids[0].HostID)
	}
	return f
}
