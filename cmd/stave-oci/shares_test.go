// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// running runs a changed bundle whose command goes on until the test ends, and returns the command's process.
func running(t *testing.T, changes ...change) (pid int) {
	t.Helper()
	dir := newBundle(t, "echo > /data/runs; while :; do sleep 0.05; done", append(changes, func(s *specs.Spec) { s.Root.Readonly = false })...)
	file := filepath.Join(dir, "pid")
	var errs strings.Builder
	c := oci(dir, "--pid-file", file)
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		if pid > 0 {
			unix.Kill(pid, unix.SIGKILL)
		}
		<-ended
	})
	witness.Until(t, "the command runs, or could not be started", func() bool {
		select {
		case <-ended:
			return true
		default:
			return unix.Access(dir+"/rootfs/data/runs", unix.F_OK) == nil
		}
	})
	pid, err := strconv.Atoi(text(t, file))
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return pid
}

// TestScheduler looks at the policy of a container's command.
func TestScheduler(t *testing.T) {
	witness.Need(t, "root")
	for name, test := range map[string]struct {
		asked specs.Scheduler
		want  unix.SchedAttr
	}{
		"batch": {specs.Scheduler{Policy: specs.SchedBatch, Nice: 7}, unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: 7}},
		"idle":  {specs.Scheduler{Policy: specs.SchedIdle}, unix.SchedAttr{Policy: unix.SCHED_IDLE}},
		"other, forgotten at fork": {
			specs.Scheduler{Policy: specs.SchedOther, Nice: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}},
			unix.SchedAttr{Policy: unix.SCHED_NORMAL, Nice: 3, Flags: unix.SCHED_FLAG_RESET_ON_FORK},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pid := running(t, func(s *specs.Spec) { s.Process.Scheduler = &test.asked })
			got, err := unix.SchedGetAttr(pid, 0)
			if err != nil {
				t.Fatal(err)
			}
			const clamps = unix.SCHED_FLAG_UTIL_CLAMP // kernels with the clamp report it
			if got.Policy != test.want.Policy || got.Nice != test.want.Nice || got.Priority != 0 || got.Flags&^clamps != test.want.Flags {
				t.Errorf("the command has %+v, want %+v", *got, test.want)
			}
		})
	}
}

// TestIOPriority looks at the priority of a container's command.
func TestIOPriority(t *testing.T) {
	witness.Need(t, "root")
	for name, test := range map[string]struct {
		asked specs.LinuxIOPriority
		want  uintptr
	}{
		"best effort": {specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}, 2<<13 | 6},
		"idle":        {specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}, 3 << 13},
	} {
		t.Run(name, func(t *testing.T) {
			pid := running(t, func(s *specs.Spec) { s.Process.IOPriority = &test.asked })
			const process = 1 // IOPRIO_WHO_PROCESS
			got, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, process, uintptr(pid), 0)
			if errno != 0 || got != test.want {
				t.Errorf("the command has the I/O priority %#x %v, want %#x", got, errno, test.want)
			}
		})
	}
}

// TestMemoryPolicy looks at the memory of a container's command.
func TestMemoryPolicy(t *testing.T) {
	witness.Need(t, "root")
	if unix.Access("/proc/self/numa_maps", unix.R_OK) != nil {
		t.Skip("this kernel has no memory policies")
	}
	for name, test := range map[string]struct {
		asked specs.LinuxMemoryPolicy
		want  string
	}{
		"bind":       {specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}, " bind:0"},
		"interleave": {specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, " interleave=static:0"},
	} {
		t.Run(name, func(t *testing.T) {
			pid := running(t, func(s *specs.Spec) { s.Linux.MemoryPolicy = &test.asked })
			for line := range strings.Lines(text(t, "/proc/"+strconv.Itoa(pid)+"/numa_maps")) {
				if !strings.Contains(line, test.want) {
					t.Errorf("memory with another policy than %s: %s", test.want, line)
				}
			}
		})
	}
}

// TestExecAffinity looks at the processors of a process that joins a container, and of the container's own.
func TestExecAffinity(t *testing.T) {
	witness.Need(t, "root")
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	if set.Count() < 2 || !set.IsSet(0) {
		t.Skip("one processor is all there is")
	}
	root := folder(t)
	dir := newBundle(t, "while :; do sleep 0.05; done", func(s *specs.Spec) {
		s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "0"}
	})
	id := filepath.Base(dir)
	in := func(args ...string) result {
		return run(t, exec.Command(staveOCI, append([]string{"--root", root}, args...)...))
	}
	t.Cleanup(func() { in("delete", "--force", id) })
	if err := exec.Command(staveOCI, "--root", root, "run", "--detach", "--bundle", dir, id).Run(); err != nil {
		t.Fatal(err)
	}
	if got := in("exec", id, "grep", "Cpus_allowed_list", "/proc/self/status"); got.out != "Cpus_allowed_list:\t0\n" {
		t.Errorf("the process that joined: %+v", got)
	}
	if got := in("exec", id, "grep", "Cpus_allowed_list", "/proc/1/status"); got.out == "Cpus_allowed_list:\t0\n" || got.code != 0 {
		t.Errorf("the container's own: %+v", got)
	}
}
