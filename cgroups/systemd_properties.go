// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Property is a property of a unit (org.freedesktop.systemd1(5)). Its value has the Go type that stands for the D-Bus type
// which systemd wants: bool (b), string (s), uint64 (t), []string (as), []byte (ay), []AllowedDevice (a(ss)).
type Property struct {
	Name  string
	Value any
}

// AllowedDevice is an entry of the property DeviceAllow: a node such as /dev/char/1:3 or a group of them such as
// char-136 or block-*, and what may be done with it: some of "rwm".
type AllowedDevice struct{ Node, Access string }

// String shows name and value.
func (p Property) String() string { return fmt.Sprintf("%s=%v", p.Name, p.Value) }

// infinity is systemd's number for no limit.
const infinity uint64 = math.MaxUint64

// properties returns resources as properties of the unit whose cgroup is g; those of a fresh one if now is nil. systemd
// writes a unit's files anew whenever it reloads its configuration, and gives those that it was not told of as a
// property their default back. So what is planned for the files is told to it as well, as far as it knows them
// (systemd.resource-control(5)).
func (g Group) properties(r *specs.LinuxResources, now Values) ([]Property, error) {
	if r == nil {
		return nil, nil
	}
	calls, err := (&planner{group: g, now: now, fresh: now == nil}).plan(r)
	if err != nil {
		return nil, err
	}
	list, err := fileProperties(calls, now)
	if err != nil {
		return nil, err
	}
	if f, ok := g.Folder("devices"); !ok || f.Version == 2 || now != nil && r.Devices == nil {
		return list, nil // in version 2 the group's own program stays in force, whatever systemd does
	}
	devices, err := deviceProperties(r.Devices)
	return append(list, devices...), err
}

// fileProperties returns the properties for what calls write to a group's files, in their order. Of a file that is
// written twice the last value counts; now are the values of files that are not written.
func fileProperties(calls []kernel.Call, now Values) ([]Property, error) {
	files := map[string]string{}
	maps.Copy(files, now)
	var order []string
	for _, call := range calls {
		var w kernel.WriteFile
		switch r := call.Request.(type) {
		case kernel.WriteFile:
			w = r
		case among:
			w = r.WriteFile
		case either:
			w = r.Writes[0]
		default:
			continue
		}
		name := path.Base(w.Path)
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
		files[name] = strings.TrimSpace(w.Data)
	}
	var list []Property
	for _, name := range order {
		found, err := fileProperty(name, files)
		if err != nil {
			return nil, fmt.Errorf("%q for %s as a property of systemd: %w", files[name], name, err)
		}
		for _, p := range found {
			if !slices.ContainsFunc(list, func(o Property) bool { return o.Name == p.Name }) {
				list = append(list, p) // else two files make one property
			}
		}
	}
	return list, nil
}

// fileProperty turns the value of one of the files into properties: none if systemd does not know the file.
func fileProperty(file string, files map[string]string) ([]Property, error) {
	value := files[file]
	switch file {
	case "cpu.weight":
		if files["cpu.idle"] == "1" {
			return nil, nil // one property for both
		}
	case "cpu.idle":
		if value != "1" {
			return nil, nil
		}
		return []Property{{"CPUWeight", uint64(0)}}, nil // idle, since systemd 252
	case "io.weight":
		if value = strings.TrimPrefix(value, "default "); strings.Contains(value, " ") {
			return nil, nil // that of one device, which systemd leaves alone
		}
	case "cpu.max":
		quota, period, _ := strings.Cut(value, " ")
		return quotaProperties(quota, period)
	case "cpu.cfs_quota_us", "cpu.cfs_period_us":
		return quotaProperties(cmp.Or(files["cpu.cfs_quota_us"], "max"), files["cpu.cfs_period_us"])
	case "cpuset.cpus":
		mask, err := bitmask(value)
		return []Property{{"AllowedCPUs", mask}}, err
	case "cpuset.mems":
		mask, err := bitmask(value)
		return []Property{{"AllowedMemoryNodes", mask}}, err
	}
	name := numberProperty(file)
	if name == "" {
		return nil, nil
	}
	n, err := limitNumber(value)
	return []Property{{name, n}}, err
}

// numberProperty is the property for a file with one number, "" for others.
func numberProperty(file string) string {
	return map[string]string{
		"memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
		"memory.swap.max": "MemorySwapMax", "memory.limit_in_bytes": "MemoryLimit", "pids.max": "TasksMax",
		"cpu.weight": "CPUWeight", "cpu.shares": "CPUShares", "io.weight": "IOWeight", "blkio.weight": "BlockIOWeight",
	}[file]
}

// limitNumber reads a limit; "max" and what is below 0 mean none.
func limitNumber(value string) (uint64, error) {
	if value == "max" || strings.HasPrefix(value, "-") {
		return infinity, nil
	}
	return strconv.ParseUint(value, 10, 64)
}

// quotaProperties are the properties for a quota in each period (both in µs). systemd takes the quota as µs of each
// second, and keeps whole percents of a processor: so it is rounded up to these, as runc does it.
func quotaProperties(quota, period string) ([]Property, error) {
	const percent, usual = 10_000, 100_000
	length, err := uint64(usual), error(nil)
	if period != "" {
		length, err = strconv.ParseUint(period, 10, 64)
	}
	if err != nil {
		return nil, err
	}
	n, err := limitNumber(quota)
	switch {
	case err != nil:
		return nil, err
	case n == infinity:
	case length == 0 || n > math.MaxUint64/1_000_000-percent:
		return nil, fmt.Errorf("%d of %d µs is out of range", n, length)
	default:
		n = (n*1_000_000/length + percent - 1) / percent * percent
	}
	list := []Property{{"CPUQuotaPerSecUSec", n}}
	if period != "" {
		list = append(list, Property{"CPUQuotaPeriodUSec", length})
	}
	return list, nil
}

// bitmask turns a list such as 0-3,7 into a bit for each number, the lowest in the first byte.
func bitmask(list string) ([]byte, error) {
	spans, err := parseSpans(list)
	if err != nil || len(spans) == 0 {
		return nil, err
	}
	const most = 1 << 13 // processors that a kernel can have (NR_CPUS)
	last := spans[len(spans)-1].last
	if last >= most {
		return nil, fmt.Errorf("%d is out of range", last)
	}
	mask := make([]byte, last/8+1)
	for _, s := range spans {
		for i := s.first; i <= s.last; i++ {
			mask[i/8] |= 1 << (i % 8)
		}
	}
	return mask, nil
}

// deviceProperties returns device rules as properties, for version 1, where systemd would allow every device when it
// writes the list anew. It knows only lists of what is allowed, and device numbers only below a major one.
func deviceProperties(rules []specs.LinuxDeviceCgroup) ([]Property, error) {
	checked, err := deviceRules(rules)
	if err != nil {
		return nil, err
	}
	list, err := listOf(checked)
	if err != nil {
		return nil, err
	}
	if list.allow {
		if len(list.exceptions) > 0 {
			return nil, fmt.Errorf("linux.resources.devices: all but %v: systemd can't deny single devices in cgroup v1: begin with a rule that denies all, or leave out --systemd-cgroup", list.exceptions[0].DeviceSet)
		}
		return []Property{{"DevicePolicy", "auto"}, {"DeviceAllow", []AllowedDevice{}}}, nil
	}
	allowed := []AllowedDevice{}
	for _, e := range list.exceptions {
		kind := map[byte]string{'b': "block", 'c': "char"}[e.Type]
		_, major, _ := strings.Cut(strings.TrimSuffix(e.DeviceSet.String(), ":*"), " ")
		switch {
		case e.Minor != all:
			allowed = append(allowed, AllowedDevice{"/dev/" + kind + "/" + major, e.Access.String()})
		default:
			allowed = append(allowed, AllowedDevice{kind + "-" + major, e.Access.String()})
		}
	}
	return []Property{{"DevicePolicy", "strict"}, {"DeviceAllow", allowed}}, nil
}
