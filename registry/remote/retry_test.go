// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

// TestPassing says which failures are worth another try.
func TestPassing(t *testing.T) {
	dial := func(err error) error {
		return &url.Error{Op: "Head", URL: "https://example/v2/", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for name, it := range map[string]struct {
		err  error
		want bool
	}{
		"a reset connection":    {dial(os.NewSyscallError("read", syscall.ECONNRESET)), true},
		"nobody listens yet":    {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), true},
		"no network":            {dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), false},
		"no such host":          {dial(&net.DNSError{Err: "no such host", IsNotFound: true}), false},
		"a busy name server":    {dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), true},
		"a silent name server":  {dial(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), true},
		"no way to name server": {dial(&net.DNSError{Err: "dial udp: connect: network is unreachable", IsTemporary: true}), false},
		"given up":              {fmt.Errorf("stopped: %w", context.Canceled), false},
	} {
		if got := passing(nil, it.err); got != it.want {
			t.Errorf("%s (%v): %v, want %v", name, it.err, got, it.want)
		}
	}
}
