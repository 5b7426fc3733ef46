// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// limitNow reads limits of a container from the kernel, by short names.
func limitNow(t *testing.T, id, name string) string {
	t.Helper()
	file := map[string]struct{ controller, v1, v2 string }{
		"memory": {"memory", "memory.limit_in_bytes", "memory.max"}, "reservation": {"memory", "memory.soft_limit_in_bytes", "memory.low"},
		"pids": {"pids", "pids.max", "pids.max"}, "shares": {"cpu", "cpu.shares", "cpu.weight"},
		"quota": {"cpu", "cpu.cfs_quota_us", "cpu.max"}, "burst": {"cpu", "cpu.cfs_burst_us", "cpu.max.burst"},
		"idle": {"cpu", "cpu.idle", "cpu.idle"}, "cpus": {"cpuset", "cpuset.cpus", "cpuset.cpus"}, "mems": {"cpuset", "cpuset.mems", "cpuset.mems"},
		"weight": {"blkio", "blkio.bfq.weight", "io.bfq.weight"}, "swap": {"memory", "memory.memsw.limit_in_bytes", "memory.swap.max"},
	}[name]
	return groupFile(t, id, file.controller, map[int]string{1: file.v1, 2: file.v2})
}

// TestUpdate changes limits of a running container, by options and by files, and reads the kernel's files.
func TestUpdate(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t, limited)
	for name, test := range map[string]struct {
		args   []string
		input  string
		v1, v2 map[string]string // the same in both where v2 is nil
	}{
		"memory":      {args: []string{"--memory", "48m"}, v1: map[string]string{"memory": "50331648"}},
		"swap":        {args: []string{"--memory", "32m", "--memory-swap", "48m"}, v1: map[string]string{"memory": "33554432", "swap": "50331648"}, v2: map[string]string{"memory": "33554432", "swap": "16777216"}},
		"reservation": {args: []string{"--memory-reservation=16M"}, v1: map[string]string{"reservation": "16777216"}},
		"pids":        {args: []string{"--pids-limit", "20"}, v1: map[string]string{"pids": "20"}},
		"no pids":     {args: []string{"--pids-limit", "-1"}, v1: map[string]string{"pids": "max"}},
		"shares":      {args: []string{"--cpu-share", "2048"}, v1: map[string]string{"shares": "2048"}, v2: map[string]string{"shares": "174"}},
		"quota":       {args: []string{"--cpu-period", "100000", "--cpu-quota", "30000"}, v1: map[string]string{"quota": "30000"}, v2: map[string]string{"quota": "30000 100000"}},
		"burst":       {args: []string{"--cpu-quota", "40000", "--cpu-burst", "10000"}, v1: map[string]string{"burst": "10000"}},
		"idle":        {args: []string{"--cpu-idle", "1"}, v1: map[string]string{"idle": "1"}},
		"not idle":    {args: []string{"--cpu-idle", "0"}, v1: map[string]string{"idle": "0"}},
		"cpus":        {args: []string{"--cpuset-cpus", "0", "--cpuset-mems", "0"}, v1: map[string]string{"cpus": "0", "mems": "0"}},
		"input": {
			args: []string{"--resources", "-"}, input: `{"memory":{"limit":41943040},"pids":{"limit":33},"cpu":{"quota":0}}`,
			v1: map[string]string{"memory": "41943040", "pids": "33"},
		},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, "update", "--memory", "64m", "--memory-swap", "-1", "--pids-limit", "50", "--cpu-idle", "0", "--cpu-burst", "0", "--cpu-quota", "50000", k.id)
			c := exec.Command(staveOCI, append(append([]string{"--root", root, "update"}, test.args...), k.id)...)
			c.Stdin = strings.NewReader(test.input)
			if got := run(t, c); got.code != 0 || got.out != "" {
				t.Fatalf("exit code %d, %q: %s", got.code, got.out, got.err)
			}
			version, _ := hierarchyOf(t, "memory")
			if version == 1 || test.v2 == nil {
				test.v2 = test.v1
			}
			for limit, want := range test.v2 {
				if got := limitNow(t, k.id, limit); got != want {
					t.Errorf("%s is %q, want %q", limit, got, want)
				}
			}
		})
	}
}

// TestUpdateIsRefused asks for what can't be done: nothing changes, and the message says what to do.
func TestUpdateIsRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t, limited)
	file := filepath.Join(k.bundle, "resources")
	for name, test := range map[string]struct{ args, file, want string }{
		"no size":           {args: "--memory 1x", want: "-memory: invalid"},
		"no number":         {args: "--pids-limit many", want: "-pids-limit"},
		"no list":           {args: "--cpuset-cpus a", want: "cpus"},
		"weight":            {args: "--blkio-weight 5", want: "10 to 1000"},
		"kernel memory":     {args: "--kernel-memory 1m", want: "memory.kernel"},
		"cache":             {args: "--l3-cache-schema L3:0=f", want: "resctrl"},
		"bandwidth":         {args: "--mem-bw-schema MB:0=20", want: "resctrl"},
		"second one fails":  {args: "--pids-limit 7 --cpuset-cpus 4095", want: "4095"},
		"no file":           {args: "--resources /nonexistent", want: "/nonexistent: no such file"},
		"half a file":       {args: "--resources FILE", file: `{"memory":{"lim`, want: "linux.resources of the specification"},
		"empty file":        {args: "-r FILE", file: "", want: "linux.resources of the specification"},
		"other JSON":        {args: "-r FILE", file: "[1]", want: "linux.resources of the specification"},
		"file and option":   {args: "-r FILE --memory 1m", file: "{}", want: "put it into"},
		"new device rules":  {args: "-r FILE", file: `{"pids":{"limit":7},"devices":[{"allow":true,"access":"rwm"}]}`, want: "linux.resources.devices"},
		"unknown option":    {args: "--nonsense", want: "nonsense"},
		"two containers":    {args: "other", want: "takes 1 argument"},
		"negative amount":   {args: "-r FILE", file: `{"memory":{"limit":-5}}`, want: "memory.limit"},
		"an unknown file":   {args: "-r FILE", file: `{"pids":{"limit":7},"unified":{"memory.nonsense":"1"}}`, want: "nonsense"},
		"pages of no size":  {args: "-r FILE", file: `{"pids":{"limit":7},"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`, want: "3MB"},
		"network priority":  {args: "-r FILE", file: `{"pids":{"limit":7},"network":{"priorities":[{"name":"none9","priority":1}]}}`, want: "n"},
		"rdma of no device": {args: "-r FILE", file: `{"pids":{"limit":7},"rdma":{"mlx99":{"hcaHandles":1}}}`, want: "rdma"},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, file, test.file, 0o644)
			args := strings.Fields("update " + strings.NewReplacer("FILE", file, "ID", k.id).Replace(test.args) + " " + k.id)
			if got := do(t, args...); got.code != 1 || !strings.Contains(got.err, test.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("exit code %d, %q", got.code, got.err)
			}
			if memory, pids := limitNow(t, k.id, "memory"), limitNow(t, k.id, "pids"); memory != "67108864" || pids != "50" {
				t.Errorf("memory is %s now, pids %s", memory, pids)
			}
		})
	}
	must(t, "kill", k.id, "KILL")
	k.until(t, "stopped")
	if got := do(t, "update", "--memory", "64m", k.id); got.code != 1 || !strings.Contains(got.err, "container not running") {
		t.Errorf("stopped: exit code %d, %q", got.code, got.err)
	}
}

// TestUpdateRepeatsDevices sends the resources of the configuration again, as containerd does it for Kubernetes, to a
// container that waits for its start and to one that is paused.
func TestUpdateRepeatsDevices(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := create(t, newBundle(t, "exec sleep 1000", limited, func(s *specs.Spec) {
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: "c", Major: new(int64(10)), Minor: new(int64(229)), Access: "rwm",
		})
	}))
	resources := readSpec(t, k.bundle).Linux.Resources
	for _, limit := range []int64{40, 30} {
		resources.Pids.Limit = &limit
		data, err := json.Marshal(resources)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(k.bundle, "resources")
		put(t, file, string(data), 0o644)
		must(t, "update", "--resources="+file, k.id)
		if got, want := limitNow(t, k.id, "pids"), map[int64]string{40: "40", 30: "30"}[limit]; got != want {
			t.Errorf("pids is %s, want %s", got, want)
		}
		if limit == 40 {
			must(t, "pause", k.id)
		}
	}
	before, err := os.ReadFile(filepath.Join(k.bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(root, k.id, "config.json"))
	if err != nil || string(after) != string(before) {
		t.Errorf("update has changed the configuration that is kept (%v)", err)
	}
}
