// SPDX-License-Identifier: Apache-2.0

// Package container makes one container from an OCI configuration and runs it.
//
// A container is the list of kernel calls that the mechanism packages plan, joined in one order:
//
//	host       cgroup, made and limited before the process exists      package cgroups
//	           clone, id maps, network devices                    package namespaces
//	container  signals, OOM score, namespaces, session
//	           root file system: mounts, devices                  package chroot
//	           terminal, hooks of the creation
//	           masks, sysctls, pivot_root
//	           limits, scheduling, capabilities, user, seccomp    package security
//	           hooks of the start, working directory, execve
//
// [Plan] is pure: it turns a [Bundle] and the [Facts] about this machine into a kernel.Program, or an
// error that names the field of the configuration. [Run] executes the program in the foreground,
// passes signals and the terminal through, reaps, and returns the command's own exit code. [Create] executes it up to the
// command, which an [Instance], the container as it is kept in a folder, starts, signals, joins and deletes.
// [Script] writes the same program as a shell script.
//
// What the configuration asks for and this package can't do is refused, never ignored; fields that
// the specification does not know are ignored, as it demands.
//
// Sources: OCI runtime specification 1.3 (config.md, config-linux.md, runtime.md), runc's behaviour
// where the specification is silent.
//
// Read first: plan.go, then bundle.go and run_linux.go; then state.go, instance_linux.go and create_linux.go; for
// [Instance.Checkpoint] and [Restore] checkpoint_linux.go and restore.go.
package container
