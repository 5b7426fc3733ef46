// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Unlimited is the value of a limit that is none.
const Unlimited = math.MaxUint64

// parsePids reads cgroup.procs, a number to a line. 0 is a process that the reader's PID namespace does not see:
//
//	1234
//	  1
func parsePids(text string) ([]int, error) {
	var pids []int
	for word := range strings.FieldsSeq(text) {
		pid, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not the number of a process", word)
		}
		pids = append(pids, int(pid))
	}
	return pids, nil
}

// parseKeyed reads a file of names and numbers, such as memory.stat, cpu.stat or cgroup.events:
//
//	inactive_file 217088
//	  1             2
func parseKeyed(text string) (map[string]uint64, error) {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a name and a number", line)
		}
		values[key] = n
	}
	return values, nil
}

// parseAmount reads a file of one number. No limit is "max" in version 2; in version 1 it is the largest number of
// whole pages that the kernel counts, or -1:
//
//	9223372036854771712
//	  1
func parseAmount(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "max" || text == "-1" {
		return Unlimited, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if n >= 1<<63-1<<16 { // pages have at most 64 KiB
		return Unlimited, nil
	}
	return n, nil
}

// parseList reads a line of numbers, such as cpuacct.usage_percpu:
//
//	88329 10210
//	  1     2
func parseList(text string) ([]uint64, error) {
	var list []uint64
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", word)
		}
		list = append(list, n)
	}
	return list, nil
}

// parseBlkio reads a blkio file of version 1 with numbers of each device, into a map by device and kind. The sum of all
// devices in the last line is left out:
//
//	8:16 Read 1459200
//	  1    2    3
//	Total 1459200
func parseBlkio(text string) (map[Device]map[string]uint64, error) {
	values := map[Device]map[string]uint64{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "Total" {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("%q is not a device, a kind and a number", line)
		}
		device, err := parseDevice(words[0])
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(words[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q does not end in a number", line)
		}
		if values[device] == nil {
			values[device] = map[string]uint64{}
		}
		values[device][words[1]] = n
	}
	return values, nil
}

// parseIO reads io.stat of version 2. A device without numbers has a line of its own; the cost model of the kernel adds
// keys whose values are fractions, which are left out:
//
//	8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0 cost.usage=12
//	  1          2
func parseIO(text string) ([]IOStats, error) {
	all := []IOStats{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			return nil, fmt.Errorf("%q names no device", line)
		}
		device, err := parseDevice(words[0])
		if err != nil {
			return nil, err
		}
		s := IOStats{Device: device}
		fields := map[string]*uint64{
			"rbytes": &s.ReadBytes, "wbytes": &s.WriteBytes, "dbytes": &s.DiscardBytes,
			"rios": &s.Reads, "wios": &s.Writes, "dios": &s.Discards,
		}
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			field, known := fields[key]
			if !known {
				continue
			}
			if *field, err = strconv.ParseUint(value, 10, 64); err != nil {
				return nil, fmt.Errorf("%q in %q is not a number", word, line)
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b IOStats) int { return a.Device.compare(b.Device) })
	return all, nil
}

// parseDevice reads the numbers of a device:
//
//	8:16
//	1 2
func parseDevice(text string) (Device, error) {
	major, minor, _ := strings.Cut(text, ":")
	a, err := strconv.ParseUint(major, 10, 32)
	if err == nil {
		var b uint64
		if b, err = strconv.ParseUint(minor, 10, 32); err == nil {
			return Device{uint32(a), uint32(b)}, nil
		}
	}
	return Device{}, fmt.Errorf("%q is not a device's major:minor", text)
}

// parseRDMA reads rdma.current or rdma.max, into a map by device:
//
//	mlx4_0 hca_handle=2 hca_object=max
//	  1        2            3
func parseRDMA(text string) (map[string]RDMAObjects, error) {
	values := map[string]RDMAObjects{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			return nil, fmt.Errorf("%q names no device", line)
		}
		var o RDMAObjects
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			n, err := parseAmount(value)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", word, err)
			}
			switch key {
			case "hca_handle":
				o.Handles = n
			case "hca_object":
				o.Objects = n
			}
		}
		values[words[0]] = o
	}
	return values, nil
}

// parseOOM reads how many processes were killed from memory.oom_control of version 1 or memory.events of version 2:
//
//	oom_kill 3
//	  1      2
func parseOOM(text string) (uint64, error) {
	values, err := parseKeyed(text)
	if err != nil {
		return 0, err
	}
	n, ok := values["oom_kill"]
	if !ok {
		return 0, errors.New("the kernel does not count killed processes: it is older than 4.13")
	}
	return n, nil
}
