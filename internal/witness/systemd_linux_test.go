// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"strings"
	"testing"
)

// TestLackSystemd decides by user and by the folder that systemd makes.
func TestLackSystemd(t *testing.T) {
	cases := map[string]struct {
		user   int
		folder string
		want   string
	}{
		"there":    {folder: t.TempDir()},
		"not root": {user: 1000, folder: t.TempDir(), want: "runs as user 1000"},
		"missing":  {folder: "/no/such/folder", want: "systemd did not start this machine"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := lackSystemd(c.user, c.folder); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got, err := lack("systemd"); err != nil || got != "" && !strings.Contains(got, "user") && !strings.Contains(got, "systemd") {
		t.Errorf("the need: %q, %v", got, err)
	}
}
