// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// look lists everything of a place that a test could leave behind, one phrase each. What can't be read is not there.
func (p *place) look() []string {
	seen := files(p.temp + "/*")
	if p.isolated {
		mounts, _ := mountsOf(0)
		seen = append(seen, describeMounts(mounts)...)
		seen = append(seen, links()...)
		seen = append(seen, "host name "+hostName())
	}
	if p.lock != nil {
		mounts, _ := mountsOf(0)
		seen = append(seen, cgroups(mounts)...)
		seen = append(seen, given(mounts)...)
		seen = append(seen, files("/tmp/stave*", "/run/netns/*", "/run/stave/*/*", "/var/lib/stave/*/*")...)
	}
	return seen
}

// difference is what is in after more often than in before, in order.
func difference(before, after []string) []string {
	count := map[string]int{}
	for _, phrase := range before {
		count[phrase]++
	}
	var more []string
	for _, phrase := range slices.Sorted(slices.Values(after)) {
		if count[phrase]--; count[phrase] < 0 {
			more = append(more, phrase)
		}
	}
	return more
}

// describeMounts says of each mount where it is and what. The mount that ip-netns(8) makes of /run/netns is left out:
// it belongs to that program, which keeps it for good.
func describeMounts(mounts []Mount) []string {
	var phrases []string
	for _, m := range mounts {
		switch {
		case m.Type == "nsfs":
			phrases = append(phrases, fmt.Sprintf("namespace %s kept by the file %s", m.Root, m.Point))
		case m.Point != "/run/netns":
			phrases = append(phrases, fmt.Sprintf("mount %s (%s)", m.Point, m.Type))
		}
	}
	return phrases
}

// links lists the network links of the calling thread's namespace, without those that a tunnel's kernel module adds to
// every namespace when it is loaded.
func links() []string {
	all, _ := net.Interfaces() // asks netlink, on the calling thread
	var phrases []string
	for _, link := range all {
		switch link.Name {
		case "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0":
		default:
			phrases = append(phrases, "link "+link.Name)
		}
	}
	return phrases
}

// hostName is the host name of the calling thread's UTS namespace.
func hostName() string {
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		return ""
	}
	return unix.ByteSliceToString(names.Nodename[:])
}

// cgroups lists the groups of all mounted hierarchies.
func cgroups(mounts []Mount) []string {
	var phrases []string
	for _, m := range mounts {
		if m.Type != "cgroup" && m.Type != "cgroup2" {
			continue
		}
		filepath.WalkDir(m.Point, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && !ofSystemd(path) {
				phrases = append(phrases, "cgroup "+path)
			}
			return nil // a group that went away meanwhile is no error
		})
	}
	return phrases
}

// ofOthers says whether a phrase is about a cgroup in which there is a process that is no descendant of this one: one of
// another program of the machine, which comes and goes while tests run.
func ofOthers(phrase string) bool {
	path, ok := strings.CutPrefix(phrase, "cgroup ")
	if !ok {
		return false
	}
	text, _ := os.ReadFile(path + "/cgroup.procs") // without it nobody is in there
	ours := descendants(processes(), os.Getpid())
	for word := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(word)
		if err == nil && !slices.ContainsFunc(ours, func(p process) bool { return p.pid == pid }) {
			return true
		}
	}
	return false
}

// given lists the controllers that the top of a v2 tree beside hierarchies of version 1 gives away: that tree is as the
// machine wants it, while in pure version 2 a test may ask for all.
func given(mounts []Mount) []string {
	if !slices.ContainsFunc(mounts, func(m Mount) bool { return m.Type == "cgroup" }) {
		return nil
	}
	var phrases []string
	for _, m := range mounts {
		if m.Type == "cgroup2" {
			text, _ := os.ReadFile(m.Point + "/cgroup.subtree_control")
			for controller := range strings.FieldsSeq(string(text)) {
				phrases = append(phrases, fmt.Sprintf("controller %s given away by %s", controller, m.Point))
			}
		}
	}
	return phrases
}

// ofSystemd says whether a cgroup is a unit that systemd makes and removes when it likes, and not one of stave's.
func ofSystemd(path string) bool {
	if strings.Contains(path, "stave") {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		switch filepath.Ext(part) {
		case ".service", ".scope", ".slice", ".mount", ".socket":
			return true
		}
	}
	return false
}

// files lists the files that match the patterns.
func files(patterns ...string) []string {
	var phrases []string
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if _, err := os.Lstat(path); err == nil {
				phrases = append(phrases, "file "+path)
			}
		}
	}
	return phrases
}
