// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// SetScheduler sets the scheduling policy of the calling process (sched_setattr(2), sched(7)). More than the policy other,
// batch or idle, and a nice value below the caller's, take CAP_SYS_NICE.
type SetScheduler struct {
	Policy uint32
	Flags  uint64
	// Nice is from -20 to 19, Priority from 1 to 99 for the policies fifo and rr, and 0 for others.
	Nice     int32
	Priority uint32
	// Runtime, Deadline and Period are in nanoseconds, for the policy deadline.
	Runtime, Deadline, Period uint64
}

// schedISO is a policy that has a number and a name, but is in no kernel (linux/sched.h).
const schedISO = 4

// schedulerPolicies are the names of the specification with the kernel's numbers.
func schedulerPolicies() map[specs.LinuxSchedulerPolicy]uint32 {
	return map[specs.LinuxSchedulerPolicy]uint32{
		specs.SchedOther: unix.SCHED_NORMAL, specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR,
		specs.SchedBatch: unix.SCHED_BATCH, specs.SchedISO: schedISO, specs.SchedIdle: unix.SCHED_IDLE,
		specs.SchedDeadline: unix.SCHED_DEADLINE,
	}
}

// schedulerFlags are the names of the specification with the kernel's bits.
func schedulerFlags() map[specs.LinuxSchedulerFlag]uint64 {
	return map[specs.LinuxSchedulerFlag]uint64{
		specs.SchedFlagResetOnFork: unix.SCHED_FLAG_RESET_ON_FORK, specs.SchedFlagReclaim: unix.SCHED_FLAG_RECLAIM,
		specs.SchedFlagDLOverrun: unix.SCHED_FLAG_DL_OVERRUN, specs.SchedFlagKeepPolicy: unix.SCHED_FLAG_KEEP_POLICY,
		specs.SchedFlagKeepParams: unix.SCHED_FLAG_KEEP_PARAMS, specs.SchedFlagUtilClampMin: unix.SCHED_FLAG_UTIL_CLAMP_MIN,
		specs.SchedFlagUtilClampMax: unix.SCHED_FLAG_UTIL_CLAMP_MAX,
	}
}

// Scheduler plans process.scheduler, and nothing where it is nil. Errors are unknown policies and flags, and values that the
// policy does not have or that are out of their range.
func Scheduler(s *specs.Scheduler) ([]kernel.Call, error) {
	if s == nil {
		return nil, nil
	}
	policy, ok := schedulerPolicies()[s.Policy]
	if !ok {
		return nil, fmt.Errorf("unknown policy %q: one of %s", s.Policy, oneOf(schedulerPolicies()))
	}
	request := SetScheduler{
		Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for _, name := range s.Flags {
		flag, ok := schedulerFlags()[name]
		if !ok {
			return nil, fmt.Errorf("unknown flag %q: one of %s", name, oneOf(schedulerFlags()))
		}
		request.Flags |= flag
	}
	if err := checkScheduler(s); err != nil {
		return nil, err
	}
	return []kernel.Call{{Request: request, Why: "when the command gets a processor, beside all others"}}, nil
}

// checkScheduler refuses values that the kernel would refuse without a reason, or pass over.
func checkScheduler(s *specs.Scheduler) error {
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	switch {
	case s.Nice < -20 || s.Nice > 19:
		return fmt.Errorf("nice %d: a number from -20 to 19", s.Nice)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return fmt.Errorf("priority %d: %s has those from 1 to 99", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		return fmt.Errorf("priority %d: only SCHED_FIFO and SCHED_RR have one, and the policy is %s", s.Priority, s.Policy)
	case s.Policy != specs.SchedDeadline && s.Runtime|s.Deadline|s.Period != 0:
		return fmt.Errorf("runtime, deadline and period are of SCHED_DEADLINE, and the policy is %s", s.Policy)
	case s.Policy == specs.SchedDeadline && (s.Runtime == 0 || s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period):
		return fmt.Errorf("runtime %d, deadline %d, period %d ns: each at most as long as the next, and the first not 0", s.Runtime, s.Deadline, s.Period)
	case s.Policy == specs.SchedISO:
		return errors.New("policy SCHED_ISO: no kernel has it")
	}
	return nil
}

// oneOf lists the names of a table.
func oneOf[K ~string, V any](table map[K]V) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(table)) {
		names = append(names, string(name))
	}
	return strings.Join(names, ", ")
}

// nameOf returns the specification's name of a number, in lower case and without prefix.
func nameOf[K ~string, V comparable](table map[K]V, value V, prefix string) string {
	for name, v := range table {
		if v == value {
			return strings.ToLower(strings.TrimPrefix(string(name), prefix))
		}
	}
	return fmt.Sprint(value)
}

// String names policy and values.
func (s SetScheduler) String() string {
	var words strings.Builder
	words.WriteString("set the scheduling policy " + nameOf(schedulerPolicies(), s.Policy, "SCHED_"))
	switch s.Policy {
	case unix.SCHED_FIFO, unix.SCHED_RR:
		words.WriteString(fmt.Sprintf(", priority %d", s.Priority))
	case unix.SCHED_DEADLINE:
		words.WriteString(fmt.Sprintf(", runtime %d of deadline %d of period %d ns", s.Runtime, s.Deadline, s.Period))
	default:
		words.WriteString(fmt.Sprintf(", nice %d", s.Nice))
	}
	for bit := uint64(1); bit <= s.Flags; bit <<= 1 {
		if s.Flags&bit != 0 {
			words.WriteString(", " + strings.ReplaceAll(nameOf(schedulerFlags(), bit, "SCHED_FLAG_"), "_", " "))
		}
	}
	return words.String()
}

// Shell is chrt(1), and renice(1) where there is a nice value. Of the flags it knows one.
func (s SetScheduler) Shell() string {
	command := "chrt --" + nameOf(schedulerPolicies(), s.Policy, "SCHED_")
	if s.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
		command += " --reset-on-fork"
	}
	if s.Policy == unix.SCHED_DEADLINE {
		command += fmt.Sprintf(" --sched-runtime %d --sched-deadline %d --sched-period %d", s.Runtime, s.Deadline, s.Period)
	}
	command += fmt.Sprintf(" --pid %d $$", s.Priority)
	if s.Nice != 0 {
		command += fmt.Sprintf(" && renice --priority %d --pid $$", s.Nice)
	}
	return command
}

// Assemble adds sched_setattr for this process, with struct sched_attr in its second size, which has room for all flags.
func (s SetScheduler) Assemble(a *kernel.Assembler) {
	const size = 56
	attr := binary.NativeEndian.AppendUint32(nil, size)
	attr = binary.NativeEndian.AppendUint32(attr, s.Policy)
	attr = binary.NativeEndian.AppendUint64(attr, s.Flags)
	attr = binary.NativeEndian.AppendUint32(attr, uint32(s.Nice))
	attr = binary.NativeEndian.AppendUint32(attr, s.Priority)
	for _, time := range []uint64{s.Runtime, s.Deadline, s.Period, 0} {
		attr = binary.NativeEndian.AppendUint64(attr, time)
	}
	a.Sys(unix.SYS_SCHED_SETATTR, kernel.Int(0), kernel.Bytes(attr), kernel.Int(0))
}
