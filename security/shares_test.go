// SPDX-License-Identifier: Apache-2.0

package security

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// planned is what became of a field: the texts of its calls and of their commands, or an error.
type planned struct{ calls, shells, fault string }

// checkPlanned compares calls with what is wanted. A fault is a part of the error.
func checkPlanned(t *testing.T, name string, calls []kernel.Call, err error, want planned) {
	t.Helper()
	var texts, shells []string
	for _, c := range calls {
		texts, shells = append(texts, c.String()), append(shells, c.Shell())
		if c.Why == "" {
			t.Errorf("%s: %s has no reason", name, c)
		}
	}
	if want.fault != "" {
		if err == nil || !strings.Contains(err.Error(), want.fault) {
			t.Errorf("%s: the error is %v, want %q", name, err, want.fault)
		}
		return
	}
	if err != nil || strings.Join(texts, "; ") != want.calls || strings.Join(shells, "; ") != want.shells {
		t.Errorf("%s: %q %q %v", name, texts, shells, err)
	}
}

// TestScheduler plans each policy and flag, and refuses what does not go together.
func TestScheduler(t *testing.T) {
	for name, test := range map[string]struct {
		asked *specs.Scheduler
		want  planned
	}{
		"none":  {nil, planned{}},
		"other": {&specs.Scheduler{Policy: "SCHED_OTHER", Nice: -5}, planned{"set the scheduling policy other, nice -5", "chrt --other --pid 0 $$ && renice --priority -5 --pid $$", ""}},
		"batch": {&specs.Scheduler{Policy: "SCHED_BATCH"}, planned{"set the scheduling policy batch, nice 0", "chrt --batch --pid 0 $$", ""}},
		"idle":  {&specs.Scheduler{Policy: "SCHED_IDLE", Nice: 19}, planned{"set the scheduling policy idle, nice 19", "chrt --idle --pid 0 $$ && renice --priority 19 --pid $$", ""}},
		"fifo": {
			&specs.Scheduler{Policy: "SCHED_FIFO", Priority: 10, Flags: []specs.LinuxSchedulerFlag{"SCHED_FLAG_RESET_ON_FORK"}},
			planned{"set the scheduling policy fifo, priority 10, reset on fork", "chrt --fifo --reset-on-fork --pid 10 $$", ""},
		},
		"rr with all flags": {
			&specs.Scheduler{Policy: "SCHED_RR", Priority: 99, Flags: []specs.LinuxSchedulerFlag{
				"SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS",
				"SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
			}},
			planned{"set the scheduling policy rr, priority 99, reclaim, dl overrun, keep policy, keep params, util clamp min, util clamp max", "chrt --rr --pid 99 $$", ""},
		},
		"deadline": {
			&specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 1, Deadline: 2, Period: 3},
			planned{"set the scheduling policy deadline, runtime 1 of deadline 2 of period 3 ns", "chrt --deadline --sched-runtime 1 --sched-deadline 2 --sched-period 3 --pid 0 $$", ""},
		},
		"iso":                   {&specs.Scheduler{Policy: "SCHED_ISO"}, planned{fault: "no kernel has it"}},
		"unknown policy":        {&specs.Scheduler{Policy: "SCHED_FAST"}, planned{fault: `unknown policy "SCHED_FAST": one of SCHED_BATCH, SCHED_DEADLINE, `}},
		"no policy":             {&specs.Scheduler{}, planned{fault: `unknown policy ""`}},
		"unknown flag":          {&specs.Scheduler{Policy: "SCHED_OTHER", Flags: []specs.LinuxSchedulerFlag{"X"}}, planned{fault: `unknown flag "X": one of SCHED_FLAG_`}},
		"nice too low":          {&specs.Scheduler{Policy: "SCHED_OTHER", Nice: -21}, planned{fault: "nice -21"}},
		"nice too high":         {&specs.Scheduler{Policy: "SCHED_OTHER", Nice: 20}, planned{fault: "nice 20"}},
		"fifo without priority": {&specs.Scheduler{Policy: "SCHED_FIFO"}, planned{fault: "priority 0: SCHED_FIFO has those from 1 to 99"}},
		"priority too high":     {&specs.Scheduler{Policy: "SCHED_RR", Priority: 100}, planned{fault: "priority 100"}},
		"other with priority":   {&specs.Scheduler{Policy: "SCHED_OTHER", Priority: 1}, planned{fault: "only SCHED_FIFO and SCHED_RR"}},
		"other with deadline":   {&specs.Scheduler{Policy: "SCHED_OTHER", Deadline: 1}, planned{fault: "are of SCHED_DEADLINE"}},
		"deadline without":      {&specs.Scheduler{Policy: "SCHED_DEADLINE"}, planned{fault: "runtime 0"}},
		"deadline too short":    {&specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 3, Deadline: 2, Period: 4}, planned{fault: "at most as long"}},
		"period too short":      {&specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 1, Deadline: 5, Period: 4}, planned{fault: "at most as long"}},
	} {
		calls, err := Scheduler(test.asked)
		checkPlanned(t, name, calls, err, test.want)
	}
}

// TestIOPriority plans each class and refuses unknown ones.
func TestIOPriority(t *testing.T) {
	for name, test := range map[string]struct {
		asked *specs.LinuxIOPriority
		want  planned
	}{
		"none":          {nil, planned{}},
		"realtime":      {&specs.LinuxIOPriority{Class: "IOPRIO_CLASS_RT", Priority: 0}, planned{"set the I/O priority 0 of the class rt", "ionice --class 1 --classdata 0 --pid $$", ""}},
		"best effort":   {&specs.LinuxIOPriority{Class: "IOPRIO_CLASS_BE", Priority: 7}, planned{"set the I/O priority 7 of the class be", "ionice --class 2 --classdata 7 --pid $$", ""}},
		"idle":          {&specs.LinuxIOPriority{Class: "IOPRIO_CLASS_IDLE"}, planned{"set the I/O priority 0 of the class idle", "ionice --class 3 --classdata 0 --pid $$", ""}},
		"unknown class": {&specs.LinuxIOPriority{Class: "IOPRIO_CLASS_NONE"}, planned{fault: `unknown class "IOPRIO_CLASS_NONE": one of IOPRIO_CLASS_BE, `}},
		"too low":       {&specs.LinuxIOPriority{Class: "IOPRIO_CLASS_BE", Priority: 8}, planned{fault: "priority 8"}},
		"too high":      {&specs.LinuxIOPriority{Class: "IOPRIO_CLASS_BE", Priority: -1}, planned{fault: "priority -1"}},
	} {
		calls, err := IOPriority(test.asked)
		checkPlanned(t, name, calls, err, test.want)
	}
}

// TestMemoryPolicy plans modes and flags, and refuses what does not go together.
func TestMemoryPolicy(t *testing.T) {
	policy := func(mode, nodes string, flags ...specs.MemoryPolicyFlagType) *specs.LinuxMemoryPolicy {
		return &specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(mode), Nodes: nodes, Flags: flags}
	}
	for name, test := range map[string]struct {
		asked *specs.LinuxMemoryPolicy
		want  planned
	}{
		"none":         {nil, planned{}},
		"default":      {policy("MPOL_DEFAULT", ""), planned{calls: "set the memory policy default"}},
		"local":        {policy("MPOL_LOCAL", ""), planned{calls: "set the memory policy local"}},
		"preferred":    {policy("MPOL_PREFERRED", ""), planned{calls: "set the memory policy preferred"}},
		"bind":         {policy("MPOL_BIND", "0-1,3", "MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"), planned{calls: "set the memory policy bind, nodes 0-1,3, numa balancing, static nodes"}},
		"interleave":   {policy("MPOL_INTERLEAVE", "0", "MPOL_F_RELATIVE_NODES"), planned{calls: "set the memory policy interleave, nodes 0, relative nodes"}},
		"weighted":     {policy("MPOL_WEIGHTED_INTERLEAVE", "0"), planned{calls: "set the memory policy weighted interleave, nodes 0"}},
		"many":         {policy("MPOL_PREFERRED_MANY", "0"), planned{calls: "set the memory policy preferred many, nodes 0"}},
		"unknown mode": {policy("MPOL_BEST", "0"), planned{fault: `unknown mode "MPOL_BEST": one of MPOL_BIND, `}},
		"unknown flag": {policy("MPOL_BIND", "0", "MPOL_F_X"), planned{fault: `unknown flag "MPOL_F_X"`}},
		"no nodes":     {policy("MPOL_BIND", ""), planned{fault: "needs nodes"}},
		"local nodes":  {policy("MPOL_LOCAL", "0"), planned{fault: "has none"}},
		"bad nodes":    {policy("MPOL_BIND", "0-x"), planned{fault: `nodes "0-x": "0-x" is no number`}},
		"both":         {policy("MPOL_BIND", "0", "MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"), planned{fault: "not both"}},
		"balancing":    {policy("MPOL_INTERLEAVE", "0", "MPOL_F_NUMA_BALANCING"), planned{fault: "is for the modes"}},
		"default flag": {policy("MPOL_DEFAULT", "", "MPOL_F_STATIC_NODES"), planned{fault: "has none"}},
	} {
		calls, err := MemoryPolicy(test.asked)
		for range calls {
			test.want.shells = "" // no command does it
		}
		checkPlanned(t, name, calls, err, test.want)
	}
}

// TestExecAffinity plans both lists, one, or none.
func TestExecAffinity(t *testing.T) {
	for name, test := range map[string]struct {
		asked          *specs.CPUAffinity
		initial, final planned
	}{
		"none":  {nil, planned{}, planned{}},
		"empty": {&specs.CPUAffinity{}, planned{}, planned{}},
		"both": {
			&specs.CPUAffinity{Initial: "0-1", Final: "7"},
			planned{"run on the processors 0-1", "taskset --cpu-list --pid 0-1 $$", ""},
			planned{"run on the processors 7", "taskset --cpu-list --pid 7 $$", ""},
		},
		"initial": {&specs.CPUAffinity{Initial: "2"}, planned{"run on the processors 2", "taskset --cpu-list --pid 2 $$", ""}, planned{}},
		"bad":     {&specs.CPUAffinity{Final: "1-0"}, planned{fault: `final "1-0": "1-0" is no number`}, planned{fault: "final"}},
	} {
		initial, final, err := ExecAffinity(test.asked)
		checkPlanned(t, name, initial, err, test.initial)
		checkPlanned(t, name, final, err, test.final)
	}
}

// TestParseNumbers reads lists as bitmaps.
func TestParseNumbers(t *testing.T) {
	for list, want := range map[string][]uint64{
		"": nil, " ": nil, "0": {1}, "0-3,7": {0x8f}, "63": {1 << 63}, "64": {0, 1}, "3,1": {0xa}, "0, 2": {5}, "128-129,0": {1, 0, 3},
	} {
		if got, err := parseNumbers(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %x %v, want %x", list, got, err, want)
		}
	}
	for _, list := range []string{",", "a", "1-", "-1", "2-1", "1,,2", "8192", "0-99999999999", "1:2"} {
		if got, err := parseNumbers(list); err == nil {
			t.Errorf("%q is %x and no error", list, got)
		}
	}
}
