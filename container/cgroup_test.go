// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"testing"
)

// TestNoCgroupToShow plans a cgroup mount on a machine where none is mounted.
func TestNoCgroupToShow(t *testing.T) {
	_, err := Plan(&Bundle{Dir: "/bundle", Spec: Example()}, Facts{}, Options{ID: "x"})
	if err == nil || !strings.Contains(err.Error(), "/sys/fs/cgroup: no cgroup is mounted") {
		t.Errorf("error is %v", err)
	}
}
