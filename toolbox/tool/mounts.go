// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"os"
	"strings"
)

// Mount is one line of /proc/self/mountinfo.
type Mount struct {
	Source  string
	Point   string
	Type    string
	Options string   // of the mount, then of the file system
	Tags    []string // shared:1, master:2, unbindable
}

// ReadMounts reads what is mounted in this mount namespace. See proc_pid_mountinfo(5).
func ReadMounts() ([]Mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return ParseMounts(string(text)), nil
}

// ParseMounts reads the text of mountinfo.
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//	(1)(2)(3)   (4)   (5)      (6)      (7)   (8) (9)   (10)         (11)
//
// (5) mount point, (6) options of the mount, (7) any number of tags, (8) their end, (9) type, (10) source, (11) options of the
// file system. Blanks inside a field are written \040.
func ParseMounts(text string) []Mount {
	blanks := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []Mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		options := strings.Split(left[5], ",")
		for o := range strings.SplitSeq(right[2], ",") {
			if o != "rw" && o != "ro" {
				options = append(options, o)
			}
		}
		mounts = append(mounts, Mount{
			Source:  blanks.Replace(right[1]),
			Point:   blanks.Replace(left[4]),
			Type:    right[0],
			Options: strings.Join(options, ","),
			Tags:    left[6:],
		})
	}
	return mounts
}
