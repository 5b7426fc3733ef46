// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// limitNames lists the resources of getrlimit(2) by number, without RLIMIT_.
func limitNames() [16]string {
	return [...]string{
		"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
		"MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
	}
}

// SetLimit sets one resource limit of the calling process (prlimit(2)). To raise Hard takes
// CAP_SYS_RESOURCE in the first user namespace, so it comes before capabilities are dropped.
type SetLimit struct {
	// Resource is the number of getrlimit(2), such as unix.RLIMIT_NOFILE.
	Resource int
	// Soft is what the kernel enforces, Hard what Soft may be raised to; the largest value is no limit.
	Soft, Hard uint64
}

// Limits plans the resource limits of a process. A name that is not of the form RLIMIT_NOFILE and known, a
// resource named twice, and a soft limit above the hard one are errors.
func Limits(limits []specs.POSIXRlimit) ([]kernel.Call, error) {
	names := limitNames()
	var calls []kernel.Call
	seen := map[int]bool{}
	for _, l := range limits {
		short, prefixed := strings.CutPrefix(l.Type, "RLIMIT_")
		resource := slices.Index(names[:], short)
		switch {
		case !prefixed || resource < 0:
			return nil, fmt.Errorf("unknown resource limit %q: see getrlimit(2) for the names", l.Type)
		case seen[resource]:
			return nil, fmt.Errorf("resource limit %s is given twice", l.Type)
		case l.Soft > l.Hard:
			return nil, fmt.Errorf("resource limit %s: the soft limit %d is above the hard limit %d", l.Type, l.Soft, l.Hard)
		}
		seen[resource] = true
		calls = append(calls, kernel.Call{
			Request: SetLimit{resource, l.Soft, l.Hard},
			Why:     "one process must not use up what all share, whatever it was started by",
		})
	}
	return calls, nil
}

// String shows both limits.
func (l SetLimit) String() string {
	return fmt.Sprintf("limit %s to %s, at most %s", strings.ToLower(limitNames()[l.Resource]), amount(l.Soft), amount(l.Hard))
}

// Shell is prlimit on the shell itself; its children inherit the limit.
func (l SetLimit) Shell() string {
	return fmt.Sprintf("prlimit --pid $$ --%s=%s:%s", strings.ToLower(limitNames()[l.Resource]), amount(l.Soft), amount(l.Hard))
}

// Assemble adds prlimit64 for this process; struct rlimit64 is two 64-bit words.
func (l SetLimit) Assemble(a *kernel.Assembler) {
	limits := binary.NativeEndian.AppendUint64(nil, l.Soft)
	limits = binary.NativeEndian.AppendUint64(limits, l.Hard)
	a.Sys(unix.SYS_PRLIMIT64, kernel.Int(0), kernel.Int(l.Resource), kernel.Bytes(limits), kernel.Int(0))
}

// amount writes a limit as prlimit(1) does.
func amount(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
