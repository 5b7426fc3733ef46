// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStatsWithout asks for the statistics of groups without controllers, of one whose files are broken, and of one that
// is gone.
func TestStatsWithout(t *testing.T) {
	folder := t.TempDir()
	f := Folder{Version: 2, Controllers: []string{"memory", "cpu", "pids", "io", "hugetlb", "rdma"}, Path: folder}
	s, err := Group{Folders: []Folder{f}}.Stats()
	if diff := cmp.Diff(Stats{Pressure: map[string]Pressure{}}, s); diff != "" || err != nil {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
	for name, file := range map[string]string{
		"memory": "memory.stat", "cpu": "cpu.stat", "pids": "pids.current", "io": "io.stat", "hugetlb": "hugetlb.2MB.current",
		"rdma": "rdma.current", "pressure": "io.pressure",
	} {
		if err := os.WriteFile(folder+"/"+file, []byte("some nonsense\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := (Group{Folders: []Folder{f}}).Stats(); err == nil || !strings.Contains(err.Error(), folder+"/"+file) {
			t.Errorf("%s: error %v", name, err)
		}
		os.Remove(folder + "/" + file)
	}
	if err := os.Mkdir(folder+"/memory.stat", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (Group{Folders: []Folder{f}}).Stats(); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a file that can't be read: error %v", err)
	}
	f.Path += "/gone"
	for name, g := range map[string]Group{"gone": {Folders: []Folder{f}}, "none": {}} {
		if _, err := g.Stats(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestStatsFromFiles reads files of kinds that few machines have, laid out in a folder as the kernel would.
func TestStatsFromFiles(t *testing.T) {
	top := t.TempDir()
	for name, text := range map[string]string{
		"v1/memory.stat": "swap 1\ntotal_swap 5\ntotal_rss 10\ntotal_cache 20\ntotal_inactive_file 7\n", "v1/memory.usage_in_bytes": "30",
		"v1/memory.limit_in_bytes": "100", "v1/memory.memsw.limit_in_bytes": "150", "v1/memory.failcnt": "2",
		"v1/blkio.throttle.io_service_bytes":      "8:0 Read 1\n8:0 Write 2\n8:0 Discard 3\nTotal 6\n",
		"v1/blkio.throttle.io_serviced":           "8:0 Read 4\n8:0 Write 5\n8:0 Discard 6\nTotal 15\n",
		"v1/blkio.bfq.io_service_bytes_recursive": "Total 0\n",
		"v1/hugetlb.2MB.usage_in_bytes":           "4194304", "v1/hugetlb.2MB.max_usage_in_bytes": "6291456",
		"v1/hugetlb.2MB.limit_in_bytes": "9223372036854771712", "v1/hugetlb.2MB.failcnt": "3", "v1/hugetlb.2MB.rsvd.usage_in_bytes": "0",
		"v2/memory.stat": "anon 10\nfile 20\nkernel 3\ninactive_file 90\n", "v2/memory.current": "30", "v2/memory.max": "max",
		"v2/memory.events": "low 0\nmax 2\noom_kill 1\n", "v2/memory.swap.current": "5", "v2/memory.swap.max": "50",
		"v2/io.stat": ioText, "v2/rdma.current": "mlx4_0 hca_handle=2 hca_object=3\n", "v2/rdma.max": "mlx4_0 hca_handle=4 hca_object=max\n",
		"v2/hugetlb.2MB.current": "4194304", "v2/hugetlb.2MB.max": "max", "v2/hugetlb.2MB.events": "max 3", "v2/hugetlb.2MB.rsvd.current": "0",
		"v2/cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1\n",
	} {
		os.MkdirAll(filepath.Dir(top+"/"+name), 0o755)
		if err := os.WriteFile(top+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	five, fifty, three, peak := uint64(5), uint64(50), uint64(3), uint64(6<<20)
	want := map[int]Stats{1: {
		Memory:  &MemoryStats{Usage: 30, Limit: 100, Failures: 2, Swap: &five, SwapLimit: &fifty, RSS: 10, Cache: 20, InactiveFile: 7},
		IO:      []IOStats{{Device{8, 0}, 1, 2, 3, 4, 5, 6}},
		Hugetlb: map[string]HugetlbStats{"2MB": {4 << 20, Unlimited, &peak, 3}},
	}, 2: {
		Memory:  &MemoryStats{Usage: 30, Limit: Unlimited, Failures: 2, Swap: &five, SwapLimit: &fifty, Kernel: &three, RSS: 10, Cache: 20, InactiveFile: 90},
		CPU:     &CPUStats{Usage: 30000, User: 20000, System: 10000, Throttling: &Throttling{3, 2, 1000}},
		IO:      []IOStats{{Device: Device{7, 2}}, {Device{8, 16}, 1459200, 314773504, 5, 192, 353, 6}},
		Hugetlb: map[string]HugetlbStats{"2MB": {4 << 20, Unlimited, nil, 3}},
		RDMA:    map[string]RDMAStats{"mlx4_0": {RDMAObjects{2, 3}, RDMAObjects{4, Unlimited}}}, Pressure: map[string]Pressure{},
	}}
	for version, workingSet := range map[int]uint64{1: 23, 2: 0} {
		f := Folder{Version: version, Controllers: []string{"memory", "cpu", "blkio", "io", "hugetlb", "rdma"}, Path: fmt.Sprintf("%s/v%d", top, version)}
		got, err := Group{Folders: []Folder{f}}.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if got.Memory.WorkingSet() != workingSet || len(got.Memory.Detail) < 4 {
			t.Errorf("v%d: working set %d, %d lines of memory.stat", version, got.Memory.WorkingSet(), len(got.Memory.Detail))
		}
		got.Memory.Detail = nil
		if diff := cmp.Diff(want[version], got); diff != "" {
			t.Errorf("v%d:\n%s", version, diff)
		}
	}
}
