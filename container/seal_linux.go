// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/security"
)

// CheckProgram refuses to run a program of the host that a container has started through
// /proc/self/exe; see security.Displaced. Programs that make containers call it first of all.
func CheckProgram() error {
	if security.Displaced() {
		return errors.New("this program is not where its name leads to: it was started inside a container by /proc/self/exe, or its file has been replaced")
	}
	return nil
}

// sealProgram makes this program run from a copy in memory that nobody can write to, where somebody
// else in the container could get at it: a command or its #! line may name /proc/self/exe, and then
// the host's program runs inside the container until [CheckProgram] ends it (CVE-2019-5736). In a PID
// namespace of its own the container's first process is alone at that moment; in one that it joins, or has
// from the host, others wait; and others may join its own while it waits for its start (hold). It does not return when it
// changes the program. And the root of a container without a mount namespace is no prison.
func sealProgram(spec *specs.Spec, hold bool) error {
	alone := slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.PIDNamespace && n.Path == ""
	})
	mounts := slices.ContainsFunc(spec.Linux.Namespaces, isMount)
	if alone && mounts && !hold {
		return nil
	}
	return ProtectProgram()
}

// ProtectProgram makes this program run from where nobody can write to it, unless it does already. It does not return when
// it changes the program: what was done before is done again. [Instance.Exec] calls it; a program that is to execute
// something does so before it reads anything.
func ProtectProgram() error {
	if security.Locked() || security.Sealed() {
		return nil
	}
	program, err := security.LockedCopy()
	if err != nil { // an old kernel, or a caller who may not mount
		if program, err = security.SealedCopy(); err != nil {
			return fmt.Errorf("protect this program from the container: %w", err)
		}
	}
	path := fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	return fmt.Errorf("execute the protected copy: %w", unix.Exec(path, os.Args, os.Environ()))
}
