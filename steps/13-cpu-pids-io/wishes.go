// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// wishes are the limits that the command line asks for.
type wishes struct {
	cpus   float64
	shares uint64
	cpuset string
	pids   int64
	write  string
}

// flags adds the options.
func (w *wishes) flags() {
	flag.Float64Var(&w.cpus, "cpus", 0.5, "how many processors' `time` the command gets at most; 0 for any")
	flag.Uint64Var(&w.shares, "shares", 0, "its `share` where others want the processor too: 1024 is usual, 0 leaves it so")
	flag.StringVar(&w.cpuset, "cpuset", "", "the `processors` that it may use, such as 0-1")
	flag.Int64Var(&w.pids, "pids", 32, "how many processes and threads there may be; -1 for any `number`")
	flag.StringVar(&w.write, "write-bps", "", "how many `bytes` it may write in a second to the disk of its root folder, such as 1m")
}

// resources returns the wishes as the OCI specification has them. Time is a quota, in microseconds, of each period of 100 ms.
func (w wishes) resources(root string) (*specs.LinuxResources, error) {
	period := uint64(100_000)
	if math.IsNaN(w.cpus) || w.cpus < 0 || w.cpus > 1<<20 {
		return nil, fmt.Errorf("-cpus %v: give a number of processors", w.cpus)
	}
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: w.cpuset}, Pids: &specs.LinuxPids{Limit: &w.pids}}
	if w.cpus > 0 {
		quota := int64(w.cpus * float64(period))
		r.CPU.Quota, r.CPU.Period = &quota, &period
	}
	if w.shares > 0 {
		r.CPU.Shares = &w.shares
	}
	if w.write == "" {
		return r, nil
	}
	rate, err := size(w.write)
	if err != nil || rate <= 0 {
		return nil, errors.Join(err, fmt.Errorf("-write-bps %s: give bytes in a second, such as 1m", w.write))
	}
	throttle := specs.LinuxThrottleDevice{Rate: uint64(rate)}
	throttle.Major, throttle.Minor, err = disk(root)
	r.BlockIO = &specs.LinuxBlockIO{ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{throttle}}
	return r, err
}

// disk returns the number of the disk that a folder lies on. The kernel limits whole disks, so a partition's is not it.
func disk(folder string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: folder, Err: err}
	}
	device := fmt.Sprintf("/sys/dev/block/%d:%d/", unix.Major(st.Dev), unix.Minor(st.Dev))
	if unix.Access(device+"partition", unix.F_OK) == nil {
		device += "../"
	}
	text, err := kernel.ReadFile(device + "dev")
	if err != nil {
		return 0, 0, fmt.Errorf("%s lies on no disk (a tmpfs, or an overlay?); give a folder that does with -root: %w", folder, err)
	}
	first, second, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	major, err = strconv.ParseInt(first, 10, 64)
	if err == nil {
		minor, err = strconv.ParseInt(second, 10, 64)
	}
	return major, minor, err
}
