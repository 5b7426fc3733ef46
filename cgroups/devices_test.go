// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// parseRules reads rules as people write them: "deny a *:* rwm, allow c 1:3 rw".
func parseRules(t testing.TB, text string) []specs.LinuxDeviceCgroup {
	t.Helper()
	var rules []specs.LinuxDeviceCgroup
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			continue
		}
		number := func(s string) *int64 {
			if s == "*" {
				return nil
			}
			var n int64
			if _, err := fmt.Sscan(s, &n); err != nil {
				t.Fatalf("%q: %v", part, err)
			}
			return &n
		}
		major, minor, _ := strings.Cut(fields[2], ":")
		rules = append(rules, specs.LinuxDeviceCgroup{
			Allow: fields[0] == "allow", Type: fields[1], Major: number(major), Minor: number(minor), Access: fields[3],
		})
	}
	return rules
}

// bare parses rules without those that every container has.
func bare(t testing.TB, text string) []DeviceRule {
	t.Helper()
	rules, err := deviceRules(parseRules(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return rules[:len(rules)-len(defaultDevices())]
}

// groupOf is a group in one hierarchy, without a machine.
func groupOf(version int) Group {
	return Group{Folders: []Folder{{Version: version, Controllers: []string{"devices"}, Top: "/top", Path: "/top/g"}}}
}

// texts shows calls, one a line.
func texts(calls []kernel.Call) []string {
	var list []string
	for _, c := range calls {
		list = append(list, c.String())
	}
	return list
}

// standard is what runc 1.1.5 writes into devices.list for the configuration of "runc spec", in its order, which is not ours.
const standard = `b *:* m
c *:* m
c 1:3 rwm
c 1:5 rwm
c 1:7 rwm
c 1:8 rwm
c 1:9 rwm
c 5:0 rwm
c 5:2 rwm
c 10:200 rwm
c 136:* rwm`

// TestDevicesAsNamed looks whether the rules of the configuration are written as they are there and before the others:
// the validation of the runtime-tools looks for them at the beginning of devices.list.
func TestDevicesAsNamed(t *testing.T) {
	calls, err := groupOf(1).Devices(parseRules(t, "allow c 10:229 rwm, allow b 8:20 rw, allow c 7:* w, allow b 10:200 r"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a *:* rwm", "c 10:229 rwm", "b 8:20 rw", "b 10:200 r"}
	for i, text := range texts(calls)[:len(want)] {
		if !strings.Contains(text, fmt.Sprintf("%q", want[i])) {
			t.Errorf("call %d: %s, want %s", i+1, text, want[i])
		}
	}
	// A right that no entry for all devices has stays with the device.
	list := deviceList{exceptions: []exception{{DeviceSet{'c', 7, 1}, full}, {DeviceSet{'b', all, all}, MakeDevice}}}
	if got := list.asNamed(nil).exceptions[0].Access; got != full {
		t.Errorf("c 7:1 %s, want rwm", got)
	}
}

func TestDevicesPlan(t *testing.T) {
	for _, text := range []string{"", "deny a *:* rwm", "allow a *:* rwm, deny a *:* rwm"} {
		calls, err := groupOf(1).Devices(parseRules(t, text))
		if err != nil {
			t.Fatal(err)
		}
		got := texts(calls)
		if want := `write "a *:* rwm" to /top/g/devices.deny`; got[0] != want {
			t.Errorf("%q: the first call is %s, want %s", text, got[0], want)
		}
		var want []string
		for line := range strings.Lines(standard) {
			want = append(want, fmt.Sprintf("write %q to /top/g/devices.allow", strings.TrimSpace(line)))
		}
		slices.Sort(want)
		slices.Sort(got[1:])
		if diff := cmp.Diff(want, got[1:]); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", text, diff)
		}
	}
	calls, err := groupOf(2).Devices(parseRules(t, "deny a *:* rwm, allow b 8:* r"))
	if err != nil {
		t.Fatal(err)
	}
	got := texts(calls)
	if want := "attach a device program to /top/g: deny a *:* rwm, allow b 8:* r, allow c *:* m, allow b *:* m, allow c 1:3 rwm, "; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("got %s, want one call %s…", got, want)
	}
}

func TestDevicesWithoutController(t *testing.T) {
	if calls, err := (Group{}).Devices(nil); len(calls) != 0 || err != nil {
		t.Errorf("no rules and no hierarchy: %v, %v", calls, err)
	}
	if _, err := (Group{}).Devices(parseRules(t, "deny a *:* rwm")); err == nil || !strings.Contains(err.Error(), "no hierarchy here limits devices") {
		t.Errorf("rules and no hierarchy: %v", err)
	}
}

func TestDevicesRefused(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	rules := map[string]struct {
		rule specs.LinuxDeviceCgroup
		says string
	}{
		"type":           {specs.LinuxDeviceCgroup{Type: "p", Access: "r"}, `devices[1]: type "p"`},
		"long type":      {specs.LinuxDeviceCgroup{Type: "cc", Access: "r"}, `type "cc"`},
		"letter":         {specs.LinuxDeviceCgroup{Type: "c", Access: "rx"}, `devices[1]: access "rx"`},
		"capital":        {specs.LinuxDeviceCgroup{Type: "c", Access: "R"}, `access "R"`},
		"no access":      {specs.LinuxDeviceCgroup{Type: "c"}, `access ""`},
		"negative major": {specs.LinuxDeviceCgroup{Major: number(-2), Access: "r"}, `devices[1]: major -2`},
		"negative minor": {specs.LinuxDeviceCgroup{Minor: number(-7), Access: "r"}, `devices[1]: minor -7`},
		"large major":    {specs.LinuxDeviceCgroup{Major: number(4096), Access: "r"}, `major 4096`},
		"large minor":    {specs.LinuxDeviceCgroup{Minor: number(1 << 32), Access: "r"}, `minor 4294967296`},
	}
	for name, c := range rules {
		t.Run(name, func(t *testing.T) {
			list := append(parseRules(t, "deny a *:* rwm"), c.rule)
			for version := 1; version <= 2; version++ {
				if _, err := groupOf(version).Devices(list); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("v%d: %v, want an error with %s", version, err, c.says)
				}
			}
		})
	}
}

// TestDeviceListRefused holds what version 1 can't express against the words of the error.
func TestDeviceListRefused(t *testing.T) {
	cases := map[string]struct{ rules, says string }{
		"a hole in what is allowed":   {"allow c 7:* rw, deny c 7:3 w", "can't allow w for c 7:* and deny it for c 7:3"},
		"a hole in what is denied":    {"allow a *:* rwm, deny c 10:* rw", "can't deny rw for c 10:* and allow it for c 10:200"},
		"a minor of every major":      {"allow c 7:* r, allow c *:4 r, deny c 7:4 r", "and deny it for c 7:4"},
		"node that can't be made":     {"allow a *:* rwm, deny c *:* r, deny b 3:4 w", "mount cgroup2"},
		"hole by a wide denial later": {"allow b 8:* rwm, deny b *:1 r", "can't allow r for b 8:* and deny it for b 8:1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := groupOf(1).Devices(parseRules(t, c.rules)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error with %s", err, c.says)
			}
			if _, err := groupOf(2).Devices(parseRules(t, c.rules)); err != nil {
				t.Errorf("version 2: %v", err)
			}
		})
	}
}

// request is what a process asks of a device.
type request struct {
	DeviceSet
	access Access
}

// answered evaluates ordered rules for a request by their definition: for each way, the last rule that fits decides.
func answered(rules []DeviceRule, r request) bool {
	for _, way := range []Access{MakeDevice, ReadDevice, WriteDevice} {
		if r.access&way == 0 {
			continue
		}
		allowed := false
		for _, rule := range rules {
			fits := (rule.Type == 'a' || rule.Type == r.Type) &&
				(rule.Major == -1 || rule.Major == r.Major) && (rule.Minor == -1 || rule.Minor == r.Minor)
			if fits && rule.Access&way != 0 {
				allowed = rule.Allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

// randomRules makes a list that has few different numbers, so that rules meet.
func randomRules(r *rand.Rand) []DeviceRule {
	var rules []DeviceRule
	for range r.IntN(8) {
		rules = append(rules, DeviceRule{
			Allow:     r.IntN(2) == 0,
			DeviceSet: DeviceSet{"aabc"[r.IntN(4)], int64(r.IntN(4)) - 1, int64(r.IntN(4)) - 1},
			Access:    Access(1 + r.IntN(7)),
		})
		if r.IntN(3) == 0 {
			rules[len(rules)-1].DeviceSet = DeviceSet{'a', -1, -1}
		}
	}
	return rules
}

// requests are all that rules of randomRules can tell apart, with numbers that no rule names.
func requests() []request {
	var list []request
	for _, kind := range []byte("bc") {
		for major := range int64(4) {
			for minor := range int64(4) {
				for access := range full + 1 {
					list = append(list, request{DeviceSet{kind, major, minor}, access})
				}
			}
		}
	}
	return list
}

// FuzzDevices holds program and list of random rules, and the change from one list to another, against the definition.
func FuzzDevices(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		for range 20 {
			old, rules := randomRules(r), randomRules(r)
			if r.IntN(2) == 0 { // as an update has it: the present rules and some more
				rules = append(slices.Clone(old), rules...)
			}
			checkProgram(t, rules)
			checkList(t, old, rules)
		}
	})
}

// checkProgram runs the program of rules for every request.
func checkProgram(t *testing.T, rules []DeviceRule) {
	t.Helper()
	code, err := machineCode(rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range requests() {
		if got, want := interpret(t, code, q), answered(rules, q); got != want {
			t.Fatalf("%v: the program says %v to %s %s", rules, got, q.DeviceSet, q.access)
		}
	}
}

// controller is the v1 controller as security/device_cgroup.c has it.
type controller struct {
	allow bool
	list  map[DeviceSet]Access
}

// write is devcgroup_update_access without a parent.
func (c *controller) write(r DeviceRule) {
	switch {
	case r.Type == 'a':
		c.allow, c.list = r.Allow, map[DeviceSet]Access{}
	case r.Allow == c.allow: // dev_exception_rm: only the very same entry
		if c.list[r.DeviceSet] &^= r.Access; c.list[r.DeviceSet] == 0 {
			delete(c.list, r.DeviceSet)
		}
	default: // dev_exception_add
		c.list[r.DeviceSet] |= r.Access
	}
}

// answer is devcgroup_legacy_check_permission: match_exception, or match_exception_partial where all is allowed.
func (c *controller) answer(q request) bool {
	for e, access := range c.list {
		if e.Type != q.Type || e.Major != -1 && e.Major != q.Major || e.Minor != -1 && e.Minor != q.Minor {
			continue
		}
		if !c.allow && q.access&^access == 0 {
			return true
		}
		if c.allow && q.access&access != 0 {
			return false
		}
	}
	return c.allow
}

// checkList writes the list of old rules, if there is one, then the change to the new ones, and asks after every line.
func checkList(t *testing.T, old, rules []DeviceRule) {
	t.Helper()
	from, err := listOf(old)
	if err != nil {
		return
	}
	c := &controller{}
	for _, line := range from.lines() {
		c.write(line)
	}
	for _, q := range requests() {
		if q.access != 0 && c.answer(q) != answered(old, q) {
			t.Fatalf("%v: the list %v says %v to %s %s", old, from, c.answer(q), q.DeviceSet, q.access)
		}
	}
	to, err := listOf(rules)
	if err != nil {
		return
	}
	lines, err := from.change(to)
	if err != nil {
		return
	}
	for i, line := range lines {
		c.write(line)
		for _, q := range requests() {
			before, after, now := answered(old, q), answered(rules, q), c.answer(q)
			switch {
			case q.access == 0:
			case now && !before && !after:
				t.Fatalf("from %v to %v by %v: after line %d %s %s is allowed, which neither allows", from, to, lines, i, q.DeviceSet, q.access)
			case !now && before && after && from.allow == to.allow:
				t.Fatalf("from %v to %v by %v: after line %d %s %s is denied, which both allow", from, to, lines, i, q.DeviceSet, q.access)
			case i == len(lines)-1 && now != after:
				t.Fatalf("from %v to %v by %v: in the end %s %s is %v", from, to, lines, q.DeviceSet, q.access, now)
			}
		}
	}
}

func TestChangeDevices(t *testing.T) {
	cases := map[string]struct {
		old, rules string
		want       []string
	}{
		"the same":           {"deny a *:* rwm", "deny a *:* rwm", nil},
		"one more":           {"", "allow c 10:229 rw", []string{"+c 10:229 rwm"}},
		"wide to narrow":     {"allow c 7:* rw", "allow c 7:1 rw", []string{"+c 7:1 rwm", "-c 7:* rwm"}},
		"said by a wide one": {"", "allow c 7:2 rw, allow c 7:* rw", []string{"+c 7:* rwm"}},
		"loses, then gains":  {"allow c 7:1 r", "allow c 7:1 w", []string{"-c 7:1 r", "+c 7:1 w"}},
		"all but more":       {"allow a *:* rwm, deny c 7:1 rw", "allow a *:* rwm, deny c 7:1 w, deny b 8:0 w", []string{"-b 8:0 w", "+c 7:1 r"}},
		"some to everything": {"", "allow a *:* rwm", []string{"+a *:* rwm"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			calls, err := groupOf(1).ChangeDevices(parseRules(t, c.old), parseRules(t, c.rules))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, call := range calls {
				w := call.Request.(DeviceLine).write()
				sign := map[string]string{"/top/g/devices.allow": "+", "/top/g/devices.deny": "-"}[w.Path]
				got = append(got, sign+w.Data)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := groupOf(1).ChangeDevices(nil, parseRules(t, "allow a *:* rwm, deny c 7:1 rw")); err == nil || !strings.Contains(err.Error(), "without a moment of all") {
		t.Errorf("from some to all but one: %v", err)
	}
}

// TestDeviceProgramTooLong wants an error before a jump is too far for its 16 bits.
func TestDeviceProgramTooLong(t *testing.T) {
	var rules []DeviceRule
	for minor := range int64(7000) {
		rules = append(rules, DeviceRule{true, DeviceSet{'b', 8, minor}, ReadDevice})
	}
	if _, err := machineCode(rules); err == nil || !strings.Contains(err.Error(), "give fewer rules") {
		t.Errorf("%d rules: %v", len(rules), err)
	}
}
