// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// lookAround is a shell script that prints what a container's first process sees, one section after
// each line "== name". $$ is the shell itself: a program that it starts has descriptors of its own.
const lookAround = `
section() { echo "== $1"; }
section ids; id; umask; pwd; hostname
section environment; tr '\0' '\n' </proc/$$/environ
for f in mountinfo status limits cgroup uid_map gid_map setgroups oom_score_adj timens_offsets attr/current comm; do
	section $f; cat /proc/$$/$f 2>&1
done
section namespaces; for n in /proc/$$/ns/*; do echo "${n##*/} $(readlink $n)"; done
section descriptors; for n in /proc/$$/fd/*; do echo "${n##*/} $(readlink $n)"; done
section session; cut -d ' ' -f 1,5,6,7 /proc/$$/stat
section dev; stat -c '%N %A %u %g %t:%T' $(find /dev | sort)
section tree; stat -c '%N %A %u %g' $(find / -xdev ! -path '/bin/*' | sort)
section masked; for n in acpi keys timer_list kcore scsi; do ls -ld /proc/$n 2>/dev/null | cut -c 1-10; head -c 1 /proc/$n 2>&1; done; ls /sys/firmware
section read-only; for n in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/irq/x /sys/x /x /dev/x /dev/shm/x /tmp/x /data/x; do
	[ -e $n ]; new=$?
	(: >>$n) 2>/dev/null && echo "$n can be written" && [ $new = 1 ] && rm $n
done
section sysctls; cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/queues_max
section network; cat /sys/class/net/lo/operstate; cut -d : -f 1 /proc/net/dev
section cgroup-files; stat -c '%N %A %u %g' $(find /sys/fs/cgroup | sort)
section cgroup-limits; grep '' $(find /sys/fs/cgroup -type f | grep -E '(limit|limit_in_bytes|max|high|low|shares|weight|quota_us|period_us|cpus|mems|devices.list|oom_control|swappiness|throttle[a-z._]*_device|subtree_control)$' | sort) 2>&1
section terminal; tty; stty size 2>/dev/null; stty 2>/dev/null
section calls; unshare -U true 2>&1; mount -t tmpfs none /tmp 2>&1; chroot / true 2>&1; mknod /tmp/n c 1 3 2>&1; hostname x 2>&1
section tried; [ -z "$TRY" ] || /bin/inside try $TRY 2>/dev/null; echo "exit code $?"
section filter; while read -r name mode; do [ "$name$mode" = Seccomp:2 ] && /bin/inside calls 2>/dev/null; done </proc/$$/status; echo "exit code $?"
section cgroup-links; for n in /sys/fs/cgroup/*; do [ -L $n ] && readlink $n; done
exec /bin/inside view
`

// sections splits the output of lookAround.
func sections(t *testing.T, out string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for part := range strings.SplitSeq("\n"+strings.ReplaceAll(out, "\r\n", "\n"), "\n== ") {
		name, text, _ := strings.Cut(part, "\n")
		found[name] = text
	}
	if len(found) < 20 {
		t.Fatalf("the container showed only this:\n%s", out)
	}
	return found
}

// statusFields are the lines of proc_pid_status(5) that a runtime decides. The others count pages, or
// tell the process's number.
func statusFields() []string {
	return []string{
		"Umask", "Uid", "Gid", "Groups", "Kthread", "Threads", "SigBlk", "SigIgn", "SigPnd", "ShdPnd",
		"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
		"Cpus_allowed", "Mems_allowed_list", "NSpid", "NSpgid", "NSsid",
	}
}

// normalise takes out of what a container saw what may differ between two runs of the same bundle.
// Where all of a section must be the same, nothing is done.
func normalise(t *testing.T, saw map[string]string, spec *specs.Spec) {
	t.Helper()
	saw["mountinfo"] = normaliseMounts(saw["mountinfo"])
	// The configuration says "ro" of the folder with the cgroup hierarchies; runc 1.1 leaves it to the
	// folder's mode.
	saw["mountinfo"] = regexp.MustCompile(`(?m)^(.* / /sys/fs/cgroup )r[ow],(.* tmpfs)`).ReplaceAllString(saw["mountinfo"], "${1}r…,$2")
	// For the same reason runc gives that folder the mode 555 of the one in /sys, stave 755 as docker does.
	saw["cgroup-files"] = strings.Replace(saw["cgroup-files"], "/sys/fs/cgroup dr-xr-xr-x 0 0\n", "/sys/fs/cgroup drwxr-xr-x 0 0\n", 1)
	// 512 shares: runc before 1.3.2 has the weight 20, which is little beside the usual 100 of 1024.
	saw["cgroup-limits"] = strings.Replace(saw["cgroup-limits"], "/cpu.weight:20\n", "/cpu.weight:59\n", 1)
	saw["cgroup-limits"] = strings.Replace(saw["cgroup-limits"], "/cpu.weight:39\n", "/cpu.weight:100\n", 1) // the same of 1024 shares
	saw["cgroup-limits"] = sortDevices(saw["cgroup-limits"])
	saw["namespaces"] = normaliseNamespaces(saw["namespaces"], spec)
	var kept []string
	for line := range strings.Lines(saw["status"]) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains(statusFields(), name) {
			kept = append(kept, witness.WithoutInherited(t, line))
		}
	}
	saw["status"] = strings.Join(kept, "")
	saw["descriptors"] = regexp.MustCompile(`:\[\d+\]`).ReplaceAllString(saw["descriptors"], ":[…]")
	// runc alone switches off the translation of a line feed into carriage return and line feed.
	saw["terminal"] = strings.TrimSpace(strings.Replace(saw["terminal"], "\n-onlcr", "", 1))
	// In a user namespace runc lets everybody search the session keyring, stave its owner, as without.
	saw["process"] = regexp.MustCompile(`;3f1(b0000|30008);`).ReplaceAllString(saw["process"], ";3f1…;")
	// runc makes the IPC namespace as user 0 of the container, but before it takes group 0; where it joins a user namespace,
	// before it takes user 0, too.
	saw["dev"] = regexp.MustCompile(`(?m)^(/dev/mqueue drwxrwxrwt) (0|65534) \d+`).ReplaceAllString(saw["dev"], "$1 …")
	if !strings.HasPrefix(saw["session"], "1 ") { // no PID namespace of its own: numbers of the host
		saw["session"] = sessionWithoutNumbers(saw["session"])
		for _, name := range []string{"NSpid", "NSpgid", "NSsid"} {
			saw["status"] = regexp.MustCompile(name+`:.*`).ReplaceAllString(saw["status"], name+":\t…")
		}
	}
}

// sortDevices sorts the entries of devices.list: they are exceptions from what the first of them says, and their order
// is that of the writes (cgroup-v1/devices.rst). By default every node may be made (*:* m), so that the m of other entries
// says nothing: they are compared without.
func sortDevices(text string) string {
	lines := strings.Split(text, "\n")
	of := func(line string) bool { return strings.Contains(line, "/devices.list:") }
	if first := slices.IndexFunc(lines, of); first >= 0 {
		last := first
		for last < len(lines) && of(lines[last]) {
			if !strings.HasSuffix(lines[last], "*:* m") {
				lines[last] = strings.TrimSuffix(lines[last], "m")
			}
			last++
		}
		slices.Sort(lines[first:last])
	}
	return strings.Join(lines, "\n")
}

// sessionWithoutNumbers says of a line "pid group session terminal" which are equal.
func sessionWithoutNumbers(line string) string {
	f := strings.Fields(line)
	if len(f) == 4 && f[0] == f[1] && f[1] == f[2] {
		return "leads its group and session, terminal " + f[3]
	}
	return line
}

// normaliseMounts replaces in mountinfo (proc_pid_mountinfo(5)) the ids of mounts by mount points, and
// the numbers of devices that exist in memory only by a letter; the order of siblings is the
// runtime's choice.
func normaliseMounts(text string) string {
	points := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 4 {
			points[f[0]] = f[4]
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		f[0], f[1] = "on", points[f[1]]
		f[2] = regexp.MustCompile(`^0:\d+$`).ReplaceAllString(f[2], "0:n")
		for i := range f {
			if strings.HasPrefix(f[i], "shared:") || strings.HasPrefix(f[i], "master:") {
				f[i], _, _ = strings.Cut(f[i], ":")
			}
		}
		if f[len(f)-2] == "tmpfs" || f[len(f)-3] == "tmpfs" {
			// Of a tmpfs with the option ro, runc makes the mount read-only and stave the file system too.
			// And where no mode is asked for, runc gives the new file system the mode of the folder below with
			// chmod, stave with an option. The sections dev and tree compare the modes themselves.
			options := strings.TrimPrefix(strings.TrimPrefix(f[len(f)-1], "ro"), "rw")
			f[len(f)-1] = regexp.MustCompile(`,mode=\d+`).ReplaceAllString(options, "")
		}
		lines = append(lines, strings.Join(f, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// normaliseNamespaces says of each namespace whether it is the one of this test, which starts the
// runtime, the one that the configuration names, or another.
func normaliseNamespaces(text string, spec *specs.Spec) string {
	joined := map[string]bool{}
	for _, n := range spec.Linux.Namespaces {
		if target, err := os.Readlink(n.Path); err == nil {
			joined[target] = true
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		kind, inside, _ := strings.Cut(strings.TrimSpace(line), " ")
		ours, err := os.Readlink(filepath.Join("/proc/self/ns", kind))
		switch {
		case err != nil:
			lines = append(lines, kind+": "+err.Error())
		case ours == inside:
			lines = append(lines, kind+" of the host")
		case joined[inside]:
			lines = append(lines, kind+" joined")
		default:
			lines = append(lines, kind+" of its own")
		}
	}
	return strings.Join(lines, "\n")
}
