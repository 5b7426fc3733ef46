// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// WithoutInherited takes out of the line SigIgn of a process's status (proc_pid_status(5)) the signals
// that this process ignores as well: ignored signals are inherited, so whoever starts the tests decides
// about them. Other lines are returned as they are.
func WithoutInherited(t testing.TB, line string) string {
	t.Helper()
	value, ok := strings.CutPrefix(line, "SigIgn:")
	if !ok {
		return line
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(status), "SigIgn:")
	own, _, _ = strings.Cut(own, "\n")
	return fmt.Sprintf("SigIgn:\t%016x\n", mask(t, value)&^mask(t, own))
}

// mask reads a signal mask.
func mask(t testing.TB, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
