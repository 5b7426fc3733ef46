// SPDX-License-Identifier: Apache-2.0

// Package conform asks others whether stave-oci is an OCI runtime: the validation programs of the OCI runtime-tools,
// and the engines of the distribution, unpatched, with stave-oci as their runtime. And it asks the conformance suite of the OCI
// distribution specification whether "stave registry serve" is a registry.
//
//	make conform                 all of it, with stave-oci
//	make conform RUNTIME=runc    the same with another runtime: does the harness find what it should?
//	make conform RUN=TestPodman  one suite
//
// TestValidation runs the programs one by one, each as a child of its own mount and PID namespaces (testdata/view.sh),
// since some leave mounts, processes and containers. It does so for every layout of cgroups that this machine can
// show, see [layout]. What they say is TAP (tap.go). testdata/validation.txt tells what runc and crun reach: what one
// of them passes, stave-oci has to pass, too. A file that neither passes is skipped with its reason when it fails.
//
// TestPodman and TestContainerd play the scripts below testdata, in the language of testscript (a "go doc" of
// github.com/rogpeppe/go-internal/testscript tells it). There podman and ctr are the real programs, and the environment
// tells them where to keep their things. After each suite the device nodes of the machine have to be as before; mounts,
// processes and cgroups are the witness's task.
//
// TestDistribution runs the suite several times: no case may fail in any run, and each has to pass in one.
//
// The environment is the Makefile's: STAVE_CONFORM is the folder of what it has built, STAVE_RUNTIME the runtime.
// With STAVE_RECORD=FILE, TestValidation judges nothing and writes what the runtime reaches into its column of FILE.
// Read validation_linux_test.go first; lessons/decisions/0012-conformance.md has the reasons.
package conform
