// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stave/internal/witness"
)

// lookAround is a shell script that prints what a container's first process sees, one section after
// each line "== name". It ends with code 7.
const lookAround = `
section() { echo "== $1"; }
section ids; id; umask; pwd; hostname
section environment; tr '\0' '\n' </proc/$$/environ | sort
for f in mountinfo status limits cgroup uid_map gid_map setgroups oom_score_adj comm; do
	section $f; cat /proc/$$/$f
done
section namespaces; for n in /proc/$$/ns/*; do echo "${n##*/} $(readlink $n)"; done
section dev; for n in $(find /dev | sort); do stat -c '%N %A %u %g %t:%T' $n; done
section masked; for n in acpi keys timer_list kcore scsi; do ls -ld /proc/$n 2>/dev/null | cut -c 1-10; head -c 1 /proc/$n 2>&1; done
section root; ls -a / /data /tmp; cat /data/file
# A user with one id has no cgroup, and sees those of the machine.
section cgroup-limits; test $(tr -s ' ' </proc/self/uid_map | cut -d ' ' -f 4) = 1 || grep '' $(find /sys/fs/cgroup -type f | grep -E '(limit|limit_in_bytes|max|high|low|shares|weight|quota_us|period_us|cpus|mems|devices.list|oom_control|swappiness|throttle[a-z._]*_device)$' | grep -v '/fs/cgroup/[a-z]*/[a-z_]*/' | sort) 2>&1
section network; cat /sys/class/net/lo/operstate; cut -d : -f 1 /proc/net/dev
exit 7
`

// sections splits the output of lookAround, and takes out what may differ between a container and the
// one that its script makes: the numbers of mounts, devices and namespaces, memory, the session and the
// seccomp filter, which no command gives.
func sections(t *testing.T, out string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for part := range strings.SplitSeq("\n"+out, "\n== ") {
		name, text, _ := strings.Cut(part, "\n")
		found[name] = text
	}
	if len(found) < 14 {
		t.Fatalf("the container showed only this:\n%s", out)
	}
	found["mountinfo"] = normaliseMounts(found["mountinfo"])
	found["namespaces"] = normaliseNamespaces(found["namespaces"])
	fields := []string{
		"Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "NSpid",
	}
	var kept []string
	for line := range strings.Lines(found["status"]) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains(fields, name) {
			kept = append(kept, witness.WithoutInherited(t, line))
		}
	}
	if len(kept) != len(fields) {
		t.Errorf("of the fields %q, the container's status has these:\n%s", fields, kept)
	}
	found["status"] = strings.Join(kept, "")
	// stave makes the IPC namespace in the same clone as the user namespace, when nobody is mapped yet;
	// the root of mqueue then belongs to nobody.
	found["dev"] = regexp.MustCompile(`(?m)^(/dev/mqueue drwxrwxrwt) \d+ \d+`).ReplaceAllString(found["dev"], "$1 … …")
	return found
}

// normaliseMounts replaces in mountinfo (proc_pid_mountinfo(5)) the ids of mounts by mount points, and
// the numbers of devices that exist in memory only by a letter, and sorts the lines.
func normaliseMounts(text string) string {
	points := map[string]string{}
	var lines []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		points[f[0]] = f[4]
		f[0], f[1] = "on", points[f[1]]
		f[2] = regexp.MustCompile(`^0:\d+$`).ReplaceAllString(f[2], "0:n")
		for i := range f {
			if strings.HasPrefix(f[i], "shared:") || strings.HasPrefix(f[i], "master:") {
				f[i], _, _ = strings.Cut(f[i], ":")
			}
		}
		lines = append(lines, strings.Join(f, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// normaliseNamespaces says of each namespace whether it is the one of this test, which starts the
// container, or another.
func normaliseNamespaces(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		kind, inside, _ := strings.Cut(strings.TrimSpace(line), " ")
		ours, err := os.Readlink(filepath.Join("/proc/self/ns", kind))
		switch {
		case err != nil:
			lines = append(lines, kind+": "+err.Error())
		case ours == inside:
			lines = append(lines, kind+" of the host")
		default:
			lines = append(lines, kind+" of its own")
		}
	}
	return strings.Join(lines, "\n")
}
