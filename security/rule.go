// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rule is one line of a profile: what to return for a system call when all conditions hold.
type rule struct {
	names      []string
	conditions []specs.LinuxSeccompArg
	action     uint32
}

// parseRules checks the rules of a profile and splits those that name an argument twice: their conditions are alternatives.
func parseRules(calls []specs.LinuxSyscall) ([]rule, error) {
	rules := make([]rule, 0, len(calls))
	for i, call := range calls {
		action, err := returnValue(call.Action, call.ErrnoRet)
		if err != nil {
			return nil, fmt.Errorf("seccomp: rule %d for %v: %w", i, call.Names, err)
		}
		if len(call.Names) == 0 {
			return nil, fmt.Errorf("seccomp: rule %d names no system call", i)
		}
		twice, err := checkConditions(call.Args)
		if err != nil {
			return nil, fmt.Errorf("seccomp: rule %d for %v: %w", i, call.Names, err)
		}
		if !twice {
			rules = append(rules, rule{call.Names, call.Args, action})
			continue
		}
		for j := range call.Args {
			rules = append(rules, rule{call.Names, call.Args[j : j+1], action})
		}
	}
	return rules, nil
}

// checkConditions refuses unknown arguments and operators, and reports whether an argument is named twice.
func checkConditions(conditions []specs.LinuxSeccompArg) (twice bool, err error) {
	var seen [6]bool
	for _, c := range conditions {
		if c.Index >= uint(len(seen)) {
			return false, fmt.Errorf("argument %d: system calls have the arguments 0 to 5", c.Index)
		}
		switch c.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
		default:
			return false, fmt.Errorf("argument %d: unknown operator %q", c.Index, c.Op)
		}
		twice = twice || seen[c.Index]
		seen[c.Index] = true
	}
	return twice, nil
}

// numbered is a rule for one number.
type numbered struct {
	number     uint32
	conditions []specs.LinuxSeccompArg
	action     uint32
}

// number lists the rules by system call number of an ABI, the rules of one number in the profile's order.
func number(rules []rule, a abi) []numbered {
	numbers := syscallNumbers(a.column)
	var through map[string]joined
	if a.joint {
		through = joinedCalls()
	}
	list := make([]numbered, 0, len(numbers))
	order := make([]uint64, 0, len(numbers)) // number, then place in list: sorts fast and keeps the profile's order
	add := func(n numbered) {
		order = append(order, uint64(n.number)<<32|uint64(len(list)))
		list = append(list, n)
	}
	for _, r := range rules {
		for _, name := range r.names {
			if n, ok := numbers[name]; ok {
				add(numbered{n, r.conditions, r.action})
			}
			if j, ok := through[name]; ok && len(r.conditions) == 0 {
				add(numbered{numbers[j.through], []specs.LinuxSeccompArg{selects(j)}, r.action})
			}
		}
	}
	slices.Sort(order)
	sorted := make([]numbered, len(list))
	for i, key := range order {
		sorted[i] = list[uint32(key)]
	}
	return sorted
}

// selects is the condition under which socketcall or ipc mean one of their calls. The upper half of ipc's first argument is a
// version.
func selects(j joined) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: 0, Value: 0xffff, ValueTwo: j.number, Op: specs.OpMaskedEqual}
}

// span is a range of system call numbers that are treated alike, up to the next span.
type span struct {
	from  uint32
	rules []numbered // tried in order
	last  uint32     // returned when none matches
}

// spans covers all numbers of an ABI. Neighbours that return the same without conditions become one span.
func spans(rules []numbered, a abi, fallback uint32) []span {
	list := []span{{last: fallback}}
	add := func(s span) {
		top := &list[len(list)-1]
		if top.from == s.from {
			*top = s
		} else if len(top.rules) > 0 || len(s.rules) > 0 || top.last != s.last {
			list = append(list, s)
		}
		if n := len(list); n > 1 && len(list[n-1].rules) == 0 && len(list[n-2].rules) == 0 && list[n-1].last == list[n-2].last {
			list = list[:n-1]
		}
	}
	for len(rules) > 0 {
		n := rules[0].number
		end := slices.IndexFunc(rules, func(r numbered) bool { return r.number != n })
		if end < 0 {
			end = len(rules)
		}
		conditional, last := decide(rules[:end], fallback)
		add(span{n, conditional, last})
		after := fallback
		if end == len(rules) && isErrno(fallback) {
			after = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
		}
		add(span{n + 1, nil, after})
		rules = rules[end:]
	}
	if a.x32 {
		add(span{x32Bit, nil, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	return list
}

// decide splits the rules of one number into those with conditions and what happens when none of them matches. Conditional rules
// at the end that say the same as that are left out.
func decide(rules []numbered, fallback uint32) (conditional []numbered, last uint32) {
	last = fallback
	if i := slices.IndexFunc(rules, func(r numbered) bool { return len(r.conditions) == 0 }); i >= 0 {
		last, rules = rules[i].action, rules[:i]
	}
	for len(rules) > 0 && rules[len(rules)-1].action == last {
		rules = rules[:len(rules)-1]
	}
	return rules, last
}

// isErrno reports whether a return value makes the call fail with an errno.
func isErrno(value uint32) bool { return value&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO }
