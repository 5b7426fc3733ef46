// SPDX-License-Identifier: Apache-2.0

// Command 10-capabilities starts a command as root with fewer rights than root has, or as another user, and lets no
// set-user-ID program give back what was taken.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// look is the command if none is given.
const look = `id; grep -E "Cap(Eff|Bnd)|NoNew" /proc/self/status; touch /dev/shm/file && chown 0:0 /dev/shm/file && echo "chown: allowed"
mount -t tmpfs tmpfs /tmp || echo "mount: refused (it wants SYS_ADMIN)"; hostname other || echo "hostname: refused (so does it)"`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	add := flag.String("add", "", "capabilities to keep besides Docker's fourteen, with commas; ALL for all")
	drop := flag.String("drop", "", "capabilities to take away, with commas; ALL for all")
	user := flag.Uint("user", 0, "the user and group to become")
	gain := flag.Bool("new-privileges", false, "let set-user-ID programs give new privileges")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	limits, err := limit(uint32(*user), list(*add), list(*drop), *gain)
	code := 1
	if err == nil {
		code, err = start(args, *root, limits, *explained)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "10-capabilities:", err)
	}
	os.Exit(code)
}

// list splits words at commas.
func list(words string) []string {
	return strings.FieldsFunc(words, func(r rune) bool { return r == ',' })
}

// limit plans who the command is and what it may. The order is forced: every call needs a right that a later one takes.
func limit(user uint32, add, drop []string, gain bool) ([]kernel.Call, error) {
	facts, err := security.ReadFacts()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 { // as in step 09; and root of a new user namespace has every right in there
		facts.SetgroupsDenied, facts.Missing = true, 0
	}
	keep, err := security.Adjust(security.DefaultCapabilities(), add, drop, facts.LastCapability)
	if err != nil {
		return nil, err
	}
	may, err := security.NewCredentials(&specs.Process{
		User:         specs.User{UID: user, GID: user},
		Capabilities: &specs.LinuxCapabilities{Bounding: keep, Effective: keep, Permitted: keep},
	}, facts)
	if err != nil {
		return nil, err
	}
	if len(may.LeftOut) > 0 {
		return nil, fmt.Errorf("%v: nobody can give what he has not", may.LeftOut)
	}
	calls := append(may.Become(), may.Restrict()...)
	if !gain {
		calls = append(calls, kernel.Call{Request: security.NoNewPrivileges{}, Why: "a set-user-ID program would give root's rights back"})
	}
	return calls, nil
}

// start makes the root folder, and explains or runs.
func start(args []string, given string, limits []kernel.Call, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	p := plan(args, root, limits)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// plan lists the calls: those of step 07, and then those that take rights away. All before needed them.
func plan(args []string, root string, limits []kernel.Call) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	host, inside := config.Plan()
	inside = append(inside, enter(files(root))...)
	inside = append(inside, limits...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
