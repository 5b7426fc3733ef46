// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"math"
)

// The kernel brings cpu.shares of version 1 into this range (kernel/sched/sched.h: MIN_SHARES, MAX_SHARES).
const (
	leastShares = 2
	mostShares  = 1 << 18
)

// shares brings cpu.shares into the kernel's range.
func shares(n uint64) uint64 { return min(max(n, leastShares), mostShares) }

// weight converts cpu.shares (2 to 262144, usually 1024) to cpu.weight (1 to 10000, usually 100). It is the curve of
// opencontainers/cgroups and Kubernetes that goes through the ends of both ranges and the usual values; the straight
// line of earlier years made 39 of 1024, so that containers with the usual shares lost against everything else.
func weight(n uint64) uint64 {
	switch n = shares(n); n {
	case leastShares:
		return 1
	case mostShares:
		return 10000
	}
	l := math.Log2(float64(n))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// ioWeight converts blkio.weight (10 to 1000) to io.weight (1 to 10000) on a straight line.
func ioWeight(n uint16) uint64 { return 1 + (uint64(n)-10)*9999/990 }
