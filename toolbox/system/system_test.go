// SPDX-License-Identifier: Apache-2.0

package system

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// FuzzSignal reads any name of a signal; the name of what it gives must be read as the same signal.
func FuzzSignal(f *testing.F) {
	for _, seed := range []string{"TERM", "sigkill", "9", "0", "-1", "RTMIN", "64"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSignal(text)
		if err != nil {
			return
		}
		if again, err := ParseSignal(SignalName(s)); err != nil || again != s {
			t.Errorf("%q is %d, whose name is %q, which is %d: %v", text, s, SignalName(s), again, err)
		}
	})
}

// FuzzFormatTime writes a time by any format.
func FuzzFormatTime(f *testing.F) {
	f.Add("%Y-%m-%d %H:%M:%S %%")
	f.Add("%")
	f.Fuzz(func(t *testing.T, format string) {
		got := FormatTime(time.Unix(0, 0).UTC(), format)
		if !strings.Contains(format, "%") && got != format {
			t.Errorf("%q became %q", format, got)
		}
	})
}

// FuzzParseStat reads any text as /proc/PID/stat.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) b) S 1 42 42 34816 42 4194304 1 0 0 0 12 3 0 0 20 0 1 0 88 9441280 10 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseStat(text)
		if err == nil && p.state == "" {
			t.Errorf("%q has no state", text)
		}
	})
}

// TestParseStat reads a line whose name has a parenthesis in it.
func TestParseStat(t *testing.T) {
	p, err := parseStat([]byte("42 (a) b) S 1 41 40 34816 42 4194304 1 0 0 0 12 3 0 0 20 -5 7 0 88 9441280 10 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := []any{p.pid, p.comm, p.state, p.ppid, p.pgid, p.sid, ttyName(p.tty), p.cpu, p.nice, p.threads, p.start, p.vsz}
	want := []any{42, "a) b", "S", 1, 41, 40, "pts/0", uint64(15), -5, 7, uint64(88), uint64(9220)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestParseMount reads command lines of mount.
func TestParseMount(t *testing.T) {
	for line, want := range map[string]mountPlan{
		"-t proc proc /proc":                      {source: "proc", target: "/proc", kind: "proc"},
		"-t tmpfs -o ro,size=1m,nosuid none /mnt": {source: "none", target: "/mnt", kind: "tmpfs", data: "size=1m", flags: unix.MS_RDONLY | unix.MS_NOSUID},
		"--rbind /a /b":                           {source: "/a", target: "/b", flags: unix.MS_BIND | unix.MS_REC},
		"--make-rprivate /":                       {target: "/", propagation: unix.MS_PRIVATE | unix.MS_REC},
		"-o remount,ro /":                         {target: "/", flags: unix.MS_REMOUNT | unix.MS_RDONLY},
		"--bind -o slave /a /b":                   {source: "/a", target: "/b", flags: unix.MS_BIND, propagation: unix.MS_SLAVE},
	} {
		p, err := parseMount(strings.Fields(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, *p, cmp.AllowUnexported(mountPlan{})); diff != "" {
			t.Errorf("%s:\n%s", line, diff)
		}
	}
	if _, err := parseMount([]string{"/only"}); err == nil {
		t.Error("one operand was taken for a mount")
	}
}
