// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Names is a table of user or group names and their numbers, as /etc/passwd and /etc/group give them.
type Names struct {
	byID   map[int]string
	byName map[string]int
	lines  [][]string
}

// ReadNames reads /etc/passwd, /etc/group or a file of the same form; a file that isn't there is an empty table, as in a
// container made from nothing.
//
//	root:x:0:0:root:/root:/bin/sh
//	(1)  (2)(3)(4)(5) (6)   (7)
//
// Name (1) and number (3) stand at the same place in both files.
func ReadNames(path string) *Names {
	n := &Names{byID: map[int]string{}, byName: map[string]int{}}
	text, err := os.ReadFile(path)
	if err != nil {
		return n
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 4 {
			continue
		}
		id, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		if _, seen := n.byID[id]; !seen {
			n.byID[id] = fields[0]
		}
		n.byName[fields[0]] = id
		n.lines = append(n.lines, fields)
	}
	return n
}

// Users is the table of /etc/passwd.
func Users() *Names { return ReadNames("/etc/passwd") }

// Groups is the table of /etc/group.
func Groups() *Names { return ReadNames("/etc/group") }

// Name is the name of a number, or the number itself as text.
func (n *Names) Name(id int) string {
	if name, ok := n.byID[id]; ok {
		return name
	}
	return strconv.Itoa(id)
}

// Known is the name of a number, if it has one.
func (n *Names) Known(id int) (string, bool) {
	name, ok := n.byID[id]
	return name, ok
}

// ID is the number of a name; a name that is a number is its own.
func (n *Names) ID(name string) (int, error) {
	if id, ok := n.byName[name]; ok {
		return id, nil
	}
	if id, err := strconv.Atoi(name); err == nil && id >= 0 {
		return id, nil
	}
	return 0, fmt.Errorf("%s: no such name", name)
}

// Line is the fields of the line for a name, or nil.
func (n *Names) Line(name string) []string {
	for _, fields := range n.lines {
		if fields[0] == name {
			return fields
		}
	}
	return nil
}

// MemberOf is the numbers of the groups whose member list (4) holds the user, for a table read from /etc/group.
func (n *Names) MemberOf(user string) []int {
	var ids []int
	for _, fields := range n.lines {
		for member := range strings.SplitSeq(fields[3], ",") {
			if member == user {
				ids = append(ids, n.byName[fields[0]])
			}
		}
	}
	return ids
}
