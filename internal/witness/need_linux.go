// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// tierVariable names the tier that runs: "unit", where tests that need root are skipped, or "root". Without it, root
// may run what it wants.
const tierVariable = "STAVE_TIER"

// promisedVariable lists, separated by blanks, what this machine was set up to have. A test that needs one of these
// and does not find it fails.
const promisedVariable = "STAVE_PROMISED"

// Need skips the test with the reason "needs X: why" if the machine lacks something that the test needs, and fails it
// if the environment variable STAVE_PROMISED lists X. Needs are:
//
//	root             the tests run as root, in the root tier
//	userns           user namespaces work for a user who is not root
//	command:NAME     a program in PATH
//	cgroup1:NAME     a controller of cgroup v1
//	cgroup2:NAME     a controller of cgroup v2
//	apparmor         AppArmor is there and enabled; so for selinux
//	seccomp          the kernel has seccomp filters
//	systemd          systemd is the machine's init (sd_booted(3)), and the tests run as root
//	filesystem:NAME  the kernel knows a file system, such as overlay
//	kernel:NAME      the kernel has a system call: close_range, clone3, fsopen,
//	                 landlock_create_ruleset, mount_setattr, move_mount, openat2, pidfd_open
func Need(t testing.TB, needs ...string) {
	t.Helper()
	promised := strings.Fields(os.Getenv(promisedVariable))
	for _, need := range needs {
		why, err := lack(need)
		switch {
		case err != nil:
			t.Fatal(err)
		case why == "":
		case slices.Contains(promised, need):
			t.Fatalf("needs %s: %s, and %s has it", need, why, promisedVariable)
		default:
			t.Skipf("needs %s: %s", need, why)
		}
	}
}

// lack says why a need is not met, or nothing if it is. An unknown need is an error.
func lack(need string) (string, error) {
	kind, name, _ := strings.Cut(need, ":")
	switch kind {
	case "root":
		return lackRoot(os.Getenv(tierVariable), os.Geteuid()), nil
	case "userns":
		return lackUserNamespaces(), nil
	case "command":
		return lackCommand(name), nil
	case "cgroup1", "cgroup2":
		return lackController(kind, name)
	case "apparmor", "selinux":
		return lackModule(kind), nil
	case "seccomp":
		return lackFile("/proc/sys/kernel/seccomp/actions_avail", "the kernel has no seccomp filters"), nil
	case "systemd":
		return lackSystemd(os.Geteuid(), "/run/systemd/system"), nil
	case "filesystem":
		return lackFileSystem(name)
	case "kernel":
		return lackCall(name)
	}
	return "", fmt.Errorf("unknown need %q", need)
}

// lackRoot says why a test may not do what only root can. The unit tier leaves these tests to the root tier even if
// it runs as root, since it runs packages beside each other.
func lackRoot(tier string, user int) string {
	switch {
	case tier == "unit":
		return "run make root"
	case user != 0:
		return fmt.Sprintf("runs as user %d", user)
	}
	return ""
}
