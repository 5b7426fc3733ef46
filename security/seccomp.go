// SPDX-License-Identifier: Apache-2.0

package security

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter is a compiled seccomp profile.
type Filter struct {
	// Program is classic BPF over struct seccomp_data (seccomp(2)).
	Program []unix.SockFilter
	// Flags are SECCOMP_FILTER_FLAG_…
	Flags uint32
	// Default says in words what happens to calls that no rule names.
	Default string
	// Listens says that a program outside the container decides about some calls: see [Filter.Notify].
	Listens bool
}

// maxErrno is the largest error number a system call can return (linux/err.h).
const maxErrno = 4095

// Compile turns an OCI seccomp profile into a filter for a machine, given as GOARCH. What the profile says goes by these rules:
//
//   - the rules of one system call are tried in the profile's order, and the first that matches decides; where none does, the
//     default action does;
//   - the conditions of a rule must all hold, except that a rule which names one argument twice becomes one rule for each
//     condition (as runc does);
//   - names unknown here are passed over: profiles name calls of all architectures and of kernels to come;
//   - where the default action is to fail with an errno, calls with numbers above all that the profile names fail with ENOSYS
//     instead (as runc does): C libraries then fall back to older calls, which EPERM would not make them do;
//   - a call through an ABI that the profile does not list kills the process; x32 calls fail with ENOSYS.
//
// Errors name the part of the profile that is unknown or can't be compiled.
func Compile(profile *specs.LinuxSeccomp, goarch string) (*Filter, error) {
	fallback, err := returnValue(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, fmt.Errorf("seccomp: default action: %w", err)
	}
	chosen, err := chooseABIs(profile.Architectures, goarch)
	if err != nil {
		return nil, err
	}
	rules, err := parseRules(profile.Syscalls)
	if err != nil {
		return nil, err
	}
	f := &Filter{Default: describe(fallback)}
	f.Listens = slices.ContainsFunc(rules, func(r rule) bool { return r.action == unix.SECCOMP_RET_USER_NOTIF })
	if err := checkListener(profile, fallback, f.Listens); err != nil {
		return nil, err
	}
	if f.Flags, err = parseFlags(profile.Flags, f.Listens); err != nil {
		return nil, err
	}
	f.Program = assembleFilter(chosen, rules, fallback)
	if len(f.Program) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp: the profile needs %d instructions, the kernel takes %d: use fewer conditions", len(f.Program), unix.BPF_MAXINSNS)
	}
	return f, nil
}

// returnValue is what a filter returns for an action: SECCOMP_RET_… and 16 bits of data. The errno is that of SCMP_ACT_ERRNO, or
// the data a tracer gets from SCMP_ACT_TRACE; without one it is EPERM.
func returnValue(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data, limit := uint32(unix.EPERM), uint(maxErrno)
	if action == specs.ActTrace {
		limit = unix.SECCOMP_RET_DATA
	}
	if errno != nil {
		switch {
		case action != specs.ActErrno && action != specs.ActTrace:
			return 0, fmt.Errorf("action %s takes no errno, but %d is given", action, *errno)
		case *errno > limit:
			return 0, fmt.Errorf("action %s: errno %d is above %d", action, *errno, limit)
		}
		data = uint32(*errno)
	}
	switch action {
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF, nil
	}
	return 0, fmt.Errorf("unknown action %q", action)
}

// describe says a return value in words: "allow", "errno 1", "kill process".
func describe(value uint32) string {
	data := value & unix.SECCOMP_RET_DATA
	switch value & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_KILL_THREAD:
		return "kill thread"
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "kill process"
	case unix.SECCOMP_RET_TRAP:
		return "trap"
	case unix.SECCOMP_RET_ERRNO:
		return fmt.Sprintf("errno %d", data)
	case unix.SECCOMP_RET_TRACE:
		return fmt.Sprintf("trace %d", data)
	case unix.SECCOMP_RET_ALLOW:
		return "allow"
	case unix.SECCOMP_RET_LOG:
		return "log"
	case unix.SECCOMP_RET_USER_NOTIF:
		return "notify"
	}
	return fmt.Sprintf("%#x", value)
}

// checkListener refuses profiles whose listener could never answer. The container's set-up sends the listener's descriptor
// with sendmsg after the filter is in place and reports with write: both would wait for a listener that has nothing to read yet.
func checkListener(profile *specs.LinuxSeccomp, fallback uint32, listens bool) error {
	if fallback == unix.SECCOMP_RET_USER_NOTIF {
		return errors.New("seccomp: SCMP_ACT_NOTIFY can't be the default action: the container could not be set up")
	}
	for _, call := range profile.Syscalls {
		for _, name := range call.Names {
			if call.Action == specs.ActNotify && (name == "sendmsg" || name == "write") {
				return fmt.Errorf("seccomp: SCMP_ACT_NOTIFY can't be used for %s: the set-up needs it to hand over the listener", name)
			}
		}
	}
	if listens && profile.ListenerPath == "" {
		return errors.New("seccomp: SCMP_ACT_NOTIFY needs a listenerPath: a unix socket where a program waits that decides")
	}
	if !listens && profile.ListenerMetadata != "" && profile.ListenerPath == "" {
		return errors.New("seccomp: listenerMetadata without listenerPath")
	}
	return nil
}

// parseFlags turns the profile's flags into those of seccomp(2). A profile that says nothing of flags gets SPEC_ALLOW, as with
// runc: before Linux 5.16 a filter otherwise slows the process down by the guard against speculative stores.
func parseFlags(names []specs.LinuxSeccompFlag, listens bool) (uint32, error) {
	var flags uint32
	if names == nil {
		flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for _, name := range names {
		switch name {
		case "SECCOMP_FILTER_FLAG_TSYNC":
			flags |= unix.SECCOMP_FILTER_FLAG_TSYNC
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			if listens { // it says how to wait for a listener; the kernel refuses it without one
				flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
			}
		default:
			return 0, fmt.Errorf("seccomp: unknown flag %q", name)
		}
	}
	if listens {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		if flags&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 {
			flags |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH // the result can't be both a descriptor and a thread
		}
	}
	return flags, nil
}
