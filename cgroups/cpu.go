// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"math"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// cpu plans linux.resources.cpu, but for the cpuset.
func (p *planner) cpu(r *specs.LinuxResources) error {
	if r.CPU == nil {
		return nil
	}
	c := *r.CPU
	if c.Cpus, c.Mems = "", ""; c == (specs.LinuxCPU{}) {
		return nil
	}
	f, err := p.folder("cpu", "cpu")
	if err != nil {
		return err
	}
	if err := p.shares(f, c); err != nil {
		return err
	}
	if err := p.bandwidth(f, c); err != nil {
		return err
	}
	return p.realtime(f, c)
}

// shares plans shares and idle. A group that is idle has no shares to set: it leaves that state first and enters
// it last.
func (p *planner) shares(f Folder, c specs.LinuxCPU) error {
	idle := p.now.or("cpu.idle", 0)
	if c.Idle != nil {
		if *c.Idle != 0 && *c.Idle != 1 {
			return refuse("cpu.idle", *c.Idle, f.File("cpu.idle"), "give 1 to run only when nobody else wants to, or 0")
		}
		if *c.Idle == 0 && !p.fresh {
			p.idle(f, 0)
		}
		if *c.Idle == 1 && idle == 0 {
			defer p.idle(f, 1)
		}
		idle = min(idle, *c.Idle)
	}
	if !set(c.Shares) {
		return nil
	}
	file, value := "cpu.shares", shares(*c.Shares)
	if f.Version == 2 {
		file, value = "cpu.weight", weight(*c.Shares)
	}
	if idle == 1 {
		return refuse("cpu.shares", *c.Shares, f.File(file), "the group is idle (cpu.idle is 1) and has no shares: set cpu.idle to 0 as well")
	}
	p.write(f, file, strconv.FormatUint(value, 10), "when all processors are busy, groups get time in this proportion")
	return nil
}

// idle adds the call that sets cpu.idle.
func (p *planner) idle(f Folder, value int64) {
	p.optional(f, "cpu.idle", strconv.FormatInt(value, 10), "whether the container runs only when nobody else wants to (1)",
		"kernels have it since 5.15: leave out linux.resources.cpu.idle")
}

// bandwidth is how much time of the processors a group gets in a period, and how much more it may have saved up, in
// microseconds; a quota of -1 is no limit.
type bandwidth struct{ quota, period, burst int64 }

// present returns the bandwidth that the files tell, or that of a fresh group.
func (p *planner) present(version int) bandwidth {
	if version == 1 {
		return bandwidth{p.now.or("cpu.cfs_quota_us", -1), p.now.or("cpu.cfs_period_us", 100_000), p.now.or("cpu.cfs_burst_us", 0)}
	}
	b := bandwidth{p.now.or("cpu.max", -1), 100_000, p.now.or("cpu.max.burst", 0)}
	fmt.Sscanf(p.now["cpu.max"], "%s %d", new(string), &b.period)
	return b
}

// bandwidth plans quota, period and burst. The kernel wants the burst never above the quota; and in version 1 the
// quota's share of the period never above that of the group above, so the smaller of old and new shares comes first.
func (p *planner) bandwidth(f Folder, c specs.LinuxCPU) error {
	have := p.present(f.Version)
	want, err := have.with(f, c)
	if err != nil {
		return err
	}
	burst := func() {
		if c.Burst == nil || *c.Burst == 0 && p.fresh {
			return
		}
		file := "cpu.cfs_burst_us"
		if f.Version == 2 {
			file = "cpu.max.burst"
		}
		p.optional(f, file, strconv.FormatInt(want.burst, 10), "microseconds that the container may save up for later periods",
			"kernels have it since 5.14: leave out linux.resources.cpu.burst")
	}
	if want.burst < have.burst {
		burst()
	}
	p.quota(f, c, have, want)
	if want.burst >= have.burst {
		burst()
	}
	return nil
}

// quota adds the calls for quota and period.
func (p *planner) quota(f Folder, c specs.LinuxCPU, have, want bandwidth) {
	const why = "microseconds of processor time that the container gets in each period"
	if f.Version == 2 {
		if set(c.Quota) || set(c.Period) {
			p.write(f, "cpu.max", amount(2, want.quota)+" "+strconv.FormatInt(want.period, 10), why)
		}
		return
	}
	period := func() {
		if set(c.Period) {
			p.write(f, "cpu.cfs_period_us", strconv.FormatInt(want.period, 10), "the length of a period in microseconds")
		}
	}
	if want.period >= have.period {
		period()
	}
	if set(c.Quota) {
		p.write(f, "cpu.cfs_quota_us", strconv.FormatInt(want.quota, 10), why)
	}
	if want.period < have.period {
		period()
	}
}

// with returns the bandwidth as a configuration changes it. The ranges are those of kernel/sched/core.c
// (min_cfs_quota_period, max_cfs_quota_period).
func (b bandwidth) with(f Folder, c specs.LinuxCPU) (bandwidth, error) {
	quotaFile, periodFile, burstFile := f.File("cpu.cfs_quota_us"), f.File("cpu.cfs_period_us"), f.File("cpu.cfs_burst_us")
	if f.Version == 2 {
		quotaFile, periodFile, burstFile = f.File("cpu.max"), f.File("cpu.max"), f.File("cpu.max.burst")
	}
	if set(c.Period) {
		if *c.Period < 1000 || *c.Period > 1_000_000 {
			return b, refuse("cpu.period", *c.Period, periodFile, "give 1000 to 1000000 microseconds")
		}
		b.period = int64(*c.Period)
	}
	if set(c.Quota) {
		if *c.Quota < 1000 && *c.Quota != -1 {
			return b, refuse("cpu.quota", *c.Quota, quotaFile, "give at least 1000 microseconds, or -1 for no limit")
		}
		b.quota = *c.Quota
	}
	if c.Burst != nil {
		if *c.Burst > math.MaxInt64 {
			return b, refuse("cpu.burst", *c.Burst, burstFile, "give no more than cpu.quota")
		}
		b.burst = int64(*c.Burst)
	}
	if b.quota != -1 && b.burst > b.quota {
		return b, refuse("cpu.burst", b.burst, burstFile, fmt.Sprintf("it is above the quota of %d microseconds: give no more", b.quota))
	}
	return b, nil
}

// realtime plans the time of real-time processes, which only version 1 limits.
func (p *planner) realtime(f Folder, c specs.LinuxCPU) error {
	if !set(c.RealtimeRuntime) && !set(c.RealtimePeriod) {
		return nil
	}
	if f.Version == 2 {
		return refuse("cpu.realtimeRuntime", "any value", "cpu.rt_runtime_us",
			"version 2 does not limit real-time processes: leave out realtimeRuntime and realtimePeriod")
	}
	const missing = "the kernel is built without CONFIG_RT_GROUP_SCHED: leave out linux.resources.cpu.realtimeRuntime and realtimePeriod"
	runtime := func() {
		if set(c.RealtimeRuntime) {
			p.optional(f, "cpu.rt_runtime_us", strconv.FormatInt(*c.RealtimeRuntime, 10),
				"microseconds that real-time processes get in each of their periods", missing)
		}
	}
	if !set(c.RealtimePeriod) {
		runtime()
		return nil
	}
	shorter := ceiling(int64(min(*c.RealtimePeriod, math.MaxInt64))) < p.now.or("cpu.rt_period_us", 1_000_000)
	if shorter { // the runtime may at no time be longer than the period
		runtime()
	}
	p.optional(f, "cpu.rt_period_us", strconv.FormatUint(*c.RealtimePeriod, 10), "the length of a period for real-time processes", missing)
	if !shorter {
		runtime()
	}
	return nil
}
